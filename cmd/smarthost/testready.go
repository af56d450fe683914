//go:build !notestserver

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	testReadyTime  = 5 * time.Second       // for one answer
	testReadyPause = 50 * time.Millisecond // between two questions
)

// testReady asks a test server that runs whether it can do its work, again and again while --wait lasts.
func testReady(env *environment, f testFlags) error {
	host, port, err := net.SplitHostPort(f.http)
	if err != nil || port == "" || port == "0" {
		return usageError(fmt.Sprintf("test ready: where? --http ADDRESS or SMARTHOST_TEST_HTTP, with the port, such as 127.0.0.1:8025; %q has none", f.http))
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	ctx, cancel := context.WithTimeout(env.Context, f.wait+testReadyTime)
	defer cancel()
	tick := time.NewTicker(testReadyPause)
	defer tick.Stop()
	for end := time.Now().Add(f.wait); ; {
		err := askReady(ctx, url)
		if err == nil || !time.Now().Before(end) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func askReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, testReadyTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("the test server is not ready: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(response.Body, 1000))
		return errors.Join(fmt.Errorf("the test server is not ready: %s: %s", response.Status, strings.TrimSpace(string(text))), err)
	}
	return nil
}
