//go:build notestserver

package main

import "errors"

// testCommand is missing in the image of the server in service: what shows mail, and answers wrongly on request, is no part of it, nor of its size.
func testCommand(*environment, []string) error {
	return errors.New("this smarthost was built without its test server (-tags notestserver); use the image for tests, or another build")
}
