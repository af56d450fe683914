// Package metrics lets Debian's Prometheus watch a real server: the alarms and the dashboard of deploy/ are loaded, tried out
// and asked, and a client that was spared a bounce is seen in them.
//
// The tests have the build tag e2e and need root on Debian; e2e/run installs what they need.
package metrics
