// Package capture looks at the pages of the test double with Debian's Chromium: each page with and without scripts, narrow and wide, light and
// dark; mail that comes while somebody looks; keys; and mail that wants out of its frame.
//
// testdata/hostile has HTML that tries to reach LEAK, a listener of the test, or to run a script. It is shown as the pages show it, as a page of
// its own, and with only a part of what keeps it in, so that a test that sees nothing is known to be able to see.
// What a page is asked about itself is what the operator's pages are asked, in e2e/browser. go test -artifacts keeps pictures of all pages,
// and says where.
//
// The tests have the build tag e2e and need Debian's chromium.
package capture
