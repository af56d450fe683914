//go:build !linux

package admin

import "net"

// peerName is not known here.
func peerName(*net.UnixConn) (name string, ok bool) { return "", false }
