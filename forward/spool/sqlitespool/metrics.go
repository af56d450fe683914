package sqlitespool

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sys/unix"

	"github.com/seed-1397b510/smarthost/forward/spool"
)

// scrapeLimit is how long the metrics wait for the database.
const scrapeLimit = 2 * time.Second

// metrics counts what the writer does.
type metrics struct {
	transaction prometheus.Histogram
	syncLog     prometheus.Observer
	syncBody    prometheus.Observer
	changes     prometheus.Histogram
	faults      prometheus.Counter
}

// newMetrics registers all of them with r; with nil they are counted and shown nowhere.
func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	seconds := []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 2.5}
	syncs := auto.NewHistogramVec(prometheus.HistogramOpts{Name: "smarthost_queue_sync_seconds",
		Help:    "How long it takes to write to the disk so that it survives a power cut: the database's log (COMMIT with its fdatasync), or a large body's file.",
		Buckets: seconds}, []string{"file"})
	return &metrics{
		transaction: auto.NewHistogram(prometheus.HistogramOpts{Name: "smarthost_queue_transaction_seconds",
			Help: "How long the queue's transactions take that take mail in, with their sync; those who wait for one share it.", Buckets: seconds}),
		syncLog:  syncs.WithLabelValues("log"),
		syncBody: syncs.WithLabelValues("body"),
		changes: auto.NewHistogram(prometheus.HistogramOpts{Name: "smarthost_queue_transaction_changes",
			Help: "How many changes share one transaction of the queue.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}}),
		faults: auto.NewCounter(prometheus.CounterOpts{Name: "smarthost_queue_faults_total",
			Help: "Times that the queue's database failed and was closed, to be opened again; look at the log and the disk."}),
	}
}

// measure registers the metrics, and the gauges of what is in the queue.
func (s *Spool) measure(r prometheus.Registerer) {
	s.metrics = newMetrics(r)
	if r != nil {
		r.MustRegister(contents{s})
	}
}

var (
	descMessages   = prometheus.NewDesc("smarthost_queue_messages", "Messages in the queue.", nil, nil)
	descBytes      = prometheus.NewDesc("smarthost_queue_bytes", "Octets of the messages in the queue.", nil, nil)
	descDeliveries = prometheus.NewDesc("smarthost_queue_deliveries",
		"Deliveries (a message for one destination) in the queue: queued (never tried), leased (being tried), waiting (for the next try), held, or damaged.", []string{"state"}, nil)
	descOldest = prometheus.NewDesc("smarthost_queue_oldest_seconds", "Age of the oldest message in the queue, held and damaged ones included; 0 if there is none.", nil, nil)
	descFree   = prometheus.NewDesc("smarthost_disk_free_bytes", "Space that is free for the queue on its disk.", nil, nil)
	descEvents = prometheus.NewDesc("smarthost_webhook_events", "Events that wait to be told, by webhook.", []string{"webhook"}, nil)
	descDrops  = prometheus.NewDesc("smarthost_webhook_dropped_total", "Events that were dropped because too many waited, by webhook; it never hears of them.", []string{"webhook"}, nil)
	descFloor  = prometheus.NewDesc("smarthost_disk_floor_bytes", "Free space below which no mail is taken.", nil, nil)
)

// contents tells what is in the queue at the moment of asking. What cannot be found out is left out.
type contents struct{ s *Spool }

func (c contents) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descMessages, descBytes, descDeliveries, descOldest, descFree, descFloor, descEvents, descDrops} {
		to <- d
	}
}

func (c contents) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for listener, of := range c.s.Backlogs() {
		tell(descEvents, float64(of.Waiting), listener)
		to <- prometheus.MustNewConstMetric(descDrops, prometheus.CounterValue, float64(of.Dropped), listener)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	if st, err := c.s.Stats(ctx); err == nil {
		tell(descMessages, float64(st.Messages))
		tell(descBytes, float64(st.Bytes))
		for _, state := range []spool.State{spool.Queued, spool.Leased, spool.Waiting, spool.Held, spool.Damaged} {
			tell(descDeliveries, float64(st.ByState[state]), string(state))
		}
		age := 0.0
		if !st.Oldest.IsZero() {
			age = max(0, time.Since(st.Oldest).Seconds())
		}
		tell(descOldest, age)
	}
	var fs unix.Statfs_t
	if unix.Statfs(c.s.config.Dir, &fs) == nil {
		tell(descFree, float64(fs.Bavail)*float64(fs.Bsize))
	}
	tell(descFloor, float64(c.s.space.floor))
}
