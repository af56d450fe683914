package main

import (
	"errors"
	"fmt"

	"github.com/seed-1397b510/smarthost/policy/limit"
)

// setLimit sets one limit of one class; value is "N/duration".
func (c *Config) setLimit(class, name string, value any) error {
	if !className.MatchString(class) {
		return fmt.Errorf("%q is not the name of a class: lower case letters, digits, - and _, at most 32", class)
	}
	s, ok := value.(string)
	if !ok {
		return errors.New(`must be "N/duration" in quotes, such as "200/1h"`)
	}
	of := c.Limits[class]
	var err error
	switch name {
	case "messages":
		of.Messages, err = limit.ParseCount(s)
	case "recipients":
		of.Recipients, err = limit.ParseCount(s)
	case "bytes":
		of.Bytes, err = limit.ParseBytes(s)
	default:
		return errors.New("there is no such limit; there are messages, recipients and bytes")
	}
	if err != nil {
		return err
	}
	c.Limits[class] = of
	return nil
}

// completeLimits lets a class take from default what it leaves out.
func (c *Config) completeLimits() {
	standard := c.Limits["default"]
	for name, of := range c.Limits {
		if c.given["limits."+name+".messages"] == "" {
			of.Messages = standard.Messages
		}
		if c.given["limits."+name+".recipients"] == "" {
			of.Recipients = standard.Recipients
		}
		if c.given["limits."+name+".bytes"] == "" {
			of.Bytes = standard.Bytes
		}
		c.Limits[name] = of
	}
}
