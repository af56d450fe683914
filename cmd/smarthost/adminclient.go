package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// An adminClient asks the server that runs with the data folder of a config, over its socket.
type adminClient struct {
	config *Config
	http   http.Client
}

func newAdminClient(c *Config) *adminClient {
	client := &adminClient{config: c}
	client.http.Transport = &http.Transport{
		DisableKeepAlives: true, // a command asks once or twice
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			name, done, err := shortSocket(c.adminSocket())
			if err != nil {
				return nil, err
			}
			defer done()
			return new(net.Dialer).DialContext(ctx, "unix", name)
		},
	}
	return client
}

// Ask makes a request with a JSON body, unless that is nil, and reads the answer into into. What the server refuses is a *admin.Fault.
func (a *adminClient) Ask(ctx context.Context, method, path string, body, into any) error {
	response, err := a.Send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return readFault(response)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("the server's answer to %s cannot be read: %w", path, err)
	}
	return nil
}

// Send makes a request and returns the answer, whatever its status.
func (a *adminClient) Send(ctx context.Context, method, path, accept string, body any) (*http.Response, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := a.http.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no server runs with the data folder %s; smarthost serve starts it (with the same --config)", a.config.Data)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("this user may not open %s; be root or the user that the server runs as", a.config.adminSocket())
	case err != nil:
		return nil, fmt.Errorf("the server at %s does not answer: %w", a.config.adminSocket(), err)
	}
	return response, nil
}

// readFault makes an error, in words for people, of an answer that is none.
func readFault(response *http.Response) error {
	f := &admin.Fault{Status: response.StatusCode}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(f); err != nil || f.What == "" {
		return fmt.Errorf("the server answered %s", response.Status)
	}
	if f.Do == "" {
		return f
	}
	return fmt.Errorf("%w (%s)", f, f.Do)
}

// askTime is how long a command waits for an answer that the server has at hand.
const askTime = 20 * time.Second
