// Package queue gives orders for a hundred thousand mails that wait while others are taken and delivered, and tells and awaits what
// becomes of single ones.
//
// Its tests have the build tag e2e; e2e/run runs them.
package queue
