package main

import "github.com/seed-1397b510/smarthost/cmd/smarthost/doctor"

// newServerDoctor examines the server that the config describes.
func newServerDoctor(env *environment, c *Config, f *doctorFlags, progress doctor.Progress) (examination, error) {
	return nil, usageError("doctor: name the server to examine: smarthost doctor mx.example.org (see smarthost doctor --help)")
}
