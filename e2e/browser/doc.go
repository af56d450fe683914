// Package browser looks at pages with Debian's Chromium for the end-to-end tests: in every width and colour scheme, with scripts and
// without, and with an ear for what goes wrong in them.
//
// checks.js is what a page is asked about itself. go test -artifacts keeps the pictures, and says where.
//
// Its parts have the build tag e2e and need Debian's chromium.
package browser
