// Package pages looks at the operator's pages of a real server with Debian's Chromium: each page with and without scripts, narrow and
// wide, light and dark; mail followed while it is delivered; a device that is made, used and revoked.
//
// The tests have the build tag e2e and need root on Debian; e2e/run installs what they need.
package pages
