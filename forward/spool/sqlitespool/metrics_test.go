package sqlitespool

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

func TestTheQueueIsMeasured(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s, err := Open(context.Background(), Config{Dir: t.TempDir(), MinFree: reserveSize + 1000, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	counted(t, registry, "smarthost_queue_messages 0", "smarthost_queue_oldest_seconds 0", "smarthost_disk_floor_bytes 1000")
	keep(t, s, letter("bob@a.example", "a.example"), bytes.Repeat([]byte("x"), 1000), spool.Seal{Arrived: time.Now().Add(-time.Hour)})
	keep(t, s, letter("bob@a.example", "a.example"), bytes.Repeat([]byte("x"), inline+1), spool.Seal{})
	if _, err := s.Claim(context.Background(), spool.Query{Max: 1, Lease: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(context.Background(), spool.Order{Verb: spool.Hold, Filter: spool.Filter{State: spool.Queued}}, nil); err != nil {
		t.Fatal(err)
	}
	scraped := counted(t, registry,
		"smarthost_queue_messages 2",
		"smarthost_queue_bytes 66537",
		`smarthost_queue_deliveries{state="leased"} 1`,
		`smarthost_queue_deliveries{state="queued"} 0`,
		`smarthost_queue_deliveries{state="held"} 1`,
		`smarthost_queue_sync_seconds_count{file="body"} 1`,
		"smarthost_queue_faults_total 0")
	// One for each message, or more.
	for _, name := range []string{"smarthost_queue_transaction_seconds_count", `smarthost_queue_sync_seconds_count{file="log"}`} {
		if strings.Contains(scraped, "\n"+name+" 0\n") || strings.Contains(scraped, "\n"+name+" 1\n") {
			t.Errorf("%s is too low in\n%s", name, scraped)
		}
	}
	if strings.Contains(scraped, "\nsmarthost_queue_oldest_seconds 0\n") || strings.Contains(scraped, "\nsmarthost_disk_free_bytes 0\n") {
		t.Errorf("no age or no space:\n%s", scraped)
	}
}

// A queue that cannot be asked takes none of the other metrics with it.
func TestAClosedQueueLeavesItsFiguresOut(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s, err := Open(context.Background(), Config{Dir: t.TempDir(), MinFree: 1, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if scraped := counted(t, registry, "smarthost_queue_faults_total 0"); strings.Contains(scraped, "\nsmarthost_queue_messages ") {
		t.Errorf("figures of a queue that is closed:\n%s", scraped)
	}
}

// counted asserts that the metrics hold samples, and returns them all.
func counted(t *testing.T, registry *prometheus.Registry, samples ...string) string {
	t.Helper()
	scraped := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	for _, sample := range samples {
		if !strings.Contains(scraped.Body.String(), "\n"+sample+"\n") {
			t.Errorf("no %s in\n%s", sample, scraped.Body)
		}
	}
	return scraped.Body.String()
}

func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s, err := Open(context.Background(), Config{Dir: t.TempDir(), MinFree: 1, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	spoil(t, s, "ALTER TABLE duplicate RENAME TO away")
	if err := commit(s, letter("bob@a.example", "a.example"), []byte("x\r\n"), spool.Seal{Key: []byte("k"), Window: time.Hour}); err == nil {
		t.Fatal("taken without the table of duplicates")
	}
	counted(t, registry, "smarthost_queue_faults_total 1")
}
