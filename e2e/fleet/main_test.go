//go:build e2e

package fleet

import (
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

func TestMain(m *testing.M) { lab.MainAtOnce(m, 12) } // laptops
