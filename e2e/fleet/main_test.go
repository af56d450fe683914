//go:build e2e

package fleet

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/seed-1397b510/smarthost/e2e/lab"
)

// atOnce is how many laptops there are at a time. They wait far more than they work, so that it is not the number of processors.
const atOnce = "12"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil { // -parallel still has the last word
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lab.Main(m)
}
