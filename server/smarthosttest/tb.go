package smarthosttest

import "fmt"

// TB is what this package calls of a testing.TB; *testing.T, *testing.B and *testing.F are ones.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Logf(format string, args ...any)
}

// untested stands for the test of a server that was begun by Start, where a check that fails has nobody to tell.
type untested struct{}

func (untested) Helper()                           {}
func (untested) Cleanup(func())                    {}
func (untested) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (untested) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (untested) Failed() bool                      { return false }
func (untested) Logf(string, ...any)               {}
