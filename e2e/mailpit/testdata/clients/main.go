// Command clients asks a server that has Mailpit's API for all messages, with gosoline's client, and prints as JSON what the client makes of the
// answers: clients http://127.0.0.1:8025
//
// Its module also pins Mailpit itself, whose commands dump and readyz are clients too.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/justtrackio/gosoline/pkg/test/env/mailpit"
)

// message is one as it stands in the list, and as it is when it is asked for.
type message struct {
	Summary mailpit.MessageSummary
	Message *mailpit.Message
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clients URL")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, base string) error {
	at, err := url.Parse(base)
	if err != nil {
		return err
	}
	client := mailpit.NewClientWithInterfaces(http.Client{Transport: below(at.Path)}, mailpit.Config{Server: at.Host, Protocol: at.Scheme})
	list, err := client.ListMessages(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	all := []message{}
	for _, summary := range list.Messages {
		whole, err := client.GetMessage(ctx, summary.ID)
		if err != nil {
			return fmt.Errorf("message %s: %w", summary.ID, err)
		}
		all = append(all, message{summary, whole})
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// below puts a path before those that the client asks for: it can be told a host, but no path.
type below string

func (b below) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = string(b) + r.URL.Path
	return http.DefaultTransport.RoundTrip(r)
}
