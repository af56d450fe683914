// Command resets sends mails with which people set new passwords: a program as others write them, whose tests use smarthosttest.
//
//	SMTP_HOST=mail.example.com SMTP_PORT=587 SMTP_USERNAME=app SMTP_PASSWORD=secret resets bob@example.net
//
// Run its tests with: go mod tidy && go test ./...
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "resets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, people []string) error {
	m := Mailer{Host: os.Getenv("SMTP_HOST"), Port: os.Getenv("SMTP_PORT"), User: os.Getenv("SMTP_USERNAME"), Password: os.Getenv("SMTP_PASSWORD")}
	for _, to := range people {
		if err := m.SendReset(ctx, to, "5f3a"); err != nil {
			return err
		}
	}
	return nil
}
