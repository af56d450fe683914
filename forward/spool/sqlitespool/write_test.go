package sqlitespool

import "testing"

// One transaction, which all others wait for, brings about as many deliveries for mails with many destinations as for mails with one.
func TestBatchOfManyDestinations(t *testing.T) {
	for _, destinations := range []int{1, 100, 1000} {
		e := &enqueue{rows: make([]row, destinations), body: make([]byte, 4096)}
		if rows := min(batchChanges, batchOctets/e.weight()+1) * destinations; rows > 4*batchChanges+destinations {
			t.Errorf("%d rows in one transaction of messages for %d destinations", rows, destinations)
		}
	}
}
