//go:build !linux

package smarthosttest

import "errors"

func blackhole(int) (func() error, error) {
	return nil, errors.New("a black hole for IPv6 can be had on Linux alone")
}
