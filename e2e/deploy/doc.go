// Package deploy installs what stands in the folder deploy as its users do: the systemd units and the Debian package on a
// machine that systemd has booted, the container image in a Docker engine of its own, the manifests as far as they can be
// read without a cluster. And it restarts and exchanges the server under load, where no client may be refused.
//
// Its tests have the build tag e2e and need root on Debian; e2e/run installs what they use.
package deploy
