//go:build e2e

package double

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// atOnce is how many clients run at a time. Many of them wait for a server that says nothing.
const atOnce = "8"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil { // -parallel still has the last word
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lab.Main(m)
}
