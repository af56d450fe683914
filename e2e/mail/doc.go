// Package mail lets the test double read mail that others have collected, and compares what it reads with what another reader does.
package mail
