package limit

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		parse func(string) (Rate, error)
		text  string
		want  Rate
		ok    bool
	}{
		{ParseCount, "200/1h", Rate{200, time.Hour}, true},
		{ParseCount, "5000/1d", Rate{5000, 24 * time.Hour}, true},
		{ParseCount, "1/90s", Rate{1, 90 * time.Second}, true},
		{ParseBytes, "500MiB/1h", Rate{500 << 20, time.Hour}, true},
		{ParseBytes, "3kB/1m", Rate{3000, time.Minute}, true},
		{ParseBytes, "7/1m", Rate{7, time.Minute}, true},
		{ParseCount, "0/1h", Rate{}, false},
		{ParseCount, "-1/1h", Rate{}, false},
		{ParseCount, "+1/1h", Rate{}, false},
		{ParseCount, "many", Rate{}, false},
		{ParseCount, "1/1ms", Rate{}, false},
		{ParseCount, "1/-1h", Rate{}, false},
		{ParseCount, "1/70000d", Rate{}, false},
		{ParseBytes, "9999999999999GiB/1h", Rate{}, false},
		{ParseBytes, "5MiB", Rate{}, false},
	} {
		got, err := test.parse(test.text)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: got %v, %v", test.text, got, err)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Millisecond: "1 s", 680 * time.Second: "11 min 20 s", time.Hour: "1 h",
		25*time.Hour + time.Minute: "1 d 1 h", 2*time.Hour + 5*time.Second: "2 h",
	} {
		if got := Words(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func newLimits(messages int64) *Limits {
	l := new(Limits)
	l.Configure(map[string]Class{
		Standard: {Messages: Rate{messages, time.Hour}, Recipients: Rate{1000, time.Hour}, Bytes: Rate{1 << 20, time.Hour}},
		"bulk":   {Messages: Rate{10 * messages, time.Hour}, Recipients: Rate{1000, time.Hour}, Bytes: Rate{1 << 20, time.Hour}},
	})
	return l
}

func take(t *testing.T, l *Limits, n int) (taken []Take) {
	t.Helper()
	for i := range n {
		got, err := l.Take("alice", "", Messages, 1)
		if err != nil {
			t.Fatalf("message %d: %v", i+1, err)
		}
		taken = append(taken, got)
	}
	return taken
}

// checklist 116: the reply names the limit, the use and the time of the next slot.
func TestReplyNamesLimitUseAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(100)
		take(t, l, 100)
		time.Sleep(16 * time.Second)
		_, err := l.Take("alice", "", Messages, 1)
		want := &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1},
			Message: "messages: 100 of 100 messages this hour; next one in 20 s"}
		if diff := cmp.Diff(error(want), err); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Second)
		take(t, l, 1)
		if _, err := l.Take("bob", "", Messages, 1); err != nil {
			t.Errorf("another account: %v", err)
		}
	})
}

// checklist 116: what was refused is given back.
func TestReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(3)
		taken := take(t, l, 3)
		l.Return(taken[0])
		take(t, l, 1)
		if _, err := l.Take("alice", "", Messages, 1); err == nil {
			t.Error("more was given back than was taken")
		}
		time.Sleep(10 * time.Hour)
		l.Return(taken[1])
		take(t, l, 3)
		if _, err := l.Take("alice", "", Messages, 1); err == nil {
			t.Error("a return filled the bucket over its brim")
		}
	})
}

func TestMoreThanTheBucketHoldsIsPermanent(t *testing.T) {
	l := newLimits(3)
	err := l.Check("alice", "", Bytes, 2<<20)
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) || reply.Code != 552 {
		t.Errorf("got %v, want 552", err)
	}
}

// checklist 116: a restart does not empty the count; a clock that jumped gives nothing away and takes nothing.
func TestSnapshotSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(60)
		take(t, l, 60)
		text := l.Snapshot()
		for _, test := range []struct {
			wait time.Duration
			want int
		}{{0, 0}, {10*time.Minute + time.Second, 10}} {
			time.Sleep(test.wait)
			again := newLimits(60)
			if err := again.Restore(text); err != nil {
				t.Fatal(err)
			}
			take(t, again, test.want)
			if _, err := again.Take("alice", "", Messages, 1); err == nil {
				t.Errorf("after %v more than %d messages were left", test.wait, test.want)
			}
		}
	})
	for _, bad := range []string{"", "{", `{"version":9}`} {
		if err := new(Limits).Restore([]byte(bad)); err == nil {
			t.Errorf("%q was restored", bad)
		}
	}
}

func TestClockThatWentBack(t *testing.T) {
	var text []byte
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1000 * time.Hour)
		l := newLimits(60)
		take(t, l, 59)
		text = l.Snapshot()
	})
	synctest.Test(t, func(t *testing.T) { // its clock is 1000 hours behind
		l := newLimits(60)
		if err := l.Restore(text); err != nil {
			t.Fatal(err)
		}
		take(t, l, 1)
		time.Sleep(time.Minute + time.Second)
		take(t, l, 1)
	})
}

func TestConfigureKeepsTheUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(10)
		take(t, l, 8)
		l.Configure(map[string]Class{Standard: {Messages: Rate{12, time.Hour}, Recipients: Rate{1, time.Hour}, Bytes: Rate{1, time.Hour}}})
		take(t, l, 4)
		if _, err := l.Take("alice", "", Messages, 1); err == nil {
			t.Error("the use was forgotten")
		}
	})
}

func TestParallelSessionsShareOneCount(t *testing.T) {
	l := newLimits(50)
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := l.Take("alice", "", Messages, 1); err == nil {
					mu.Lock()
					granted++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if granted != 50 {
		t.Errorf("%d messages were granted, want 50", granted)
	}
}

func TestFullBucketsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(10)
		for i := range 10 * firstSweep {
			if _, err := l.Take(fmt.Sprint("account", i), "", Messages, 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if len(l.accounts) > 2*firstSweep {
			t.Errorf("%d accounts are remembered", len(l.accounts))
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("200/1h")
	f.Add("500MiB/1d")
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (Rate, error){ParseCount, ParseBytes} {
			r, err := parse(s)
			if err != nil {
				continue
			}
			if again, err := parse(r.String()); err != nil || again != r {
				t.Errorf("%q: %v became %v, %v", s, r, again, err)
			}
		}
	})
}

func BenchmarkTake(b *testing.B) {
	l := newLimits(1 << 40)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Take("alice", "", Messages, 1); err != nil {
			b.Fatal(err)
		}
	}
}
