// Package pages looks at the operator's pages of a real server with Debian's Chromium: each page with and without scripts, narrow and
// wide, light and dark, and by keyboard alone; mail followed from its coming to its delivery; a device that is made, used and revoked; an
// examination; a reload that fails. Where a real server cannot be brought within a test (a hundred thousand mails that wait, values that
// it would not take), the pages tell about a double.
//
// What a page is asked about itself stands in e2e/browser. go test -artifacts keeps pictures of all pages, and says where.
//
// The tests have the build tag e2e and need root on Debian; e2e/run installs what they need.
package pages
