//go:build e2e

package double

import (
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// Many clients wait for a server that says nothing.
func TestMain(m *testing.M) { lab.MainAtOnce(m, 8) }
