// Package core lets the real binary crash while it is at work, and looks for passwords and mail in what that leaves behind.
//
// The tests have the build tag e2e and need root on Debian; e2e/run runs them, in namespaces of their own (package lab).
package core
