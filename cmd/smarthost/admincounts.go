package main

import (
	"context"

	"github.com/seed-1397b510/smarthost/server/admin"
)

// counts are what the pages plot, from the metrics.
func (s *service) counts(context.Context) (admin.Counts, error) {
	families, err := s.Metrics.Gather()
	if err != nil {
		return admin.Counts{}, err
	}
	var c admin.Counts
	results := map[string]*float64{"delivered": &c.Delivered, "deferred": &c.Deferred, "failed": &c.Failed}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "smarthost_messages_total":
				c.Accepted += m.GetCounter().GetValue()
			case "smarthost_refusals_total":
				c.Refused += m.GetCounter().GetValue()
			case "smarthost_queue_deliveries":
				c.Waiting += m.GetGauge().GetValue()
			case "smarthost_recipient_results_total":
				for _, l := range m.GetLabel() {
					if sum := results[l.GetValue()]; l.GetName() == "result" && sum != nil {
						*sum += m.GetCounter().GetValue()
					}
				}
			}
		}
	}
	return c, nil
}
