package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = ""

const versionHelp = `smarthost version prints the version of this program and of the Go that built
it.

Example:
    smarthost version
`

func versionCommand(env *environment, args []string) error {
	fs := newFlags(env, "version", versionHelp)
	commonFlags(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return usageError("version takes no arguments (see smarthost version --help)")
	}
	fmt.Fprintf(env.Stdout, "smarthost %s (%s, %s/%s)\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
