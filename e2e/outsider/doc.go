// Package outsider builds and tests a program of somebody else's that uses the test double.
package outsider
