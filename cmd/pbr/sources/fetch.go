package sources

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pbr/compiler/policy"
)

// Fetcher fetches texts into a cache.
type Fetcher struct {
	Cache Cache
	// Agent is the User-Agent.
	Agent string
	// Now tells the time.
	Now func() time.Time
	// limit is fetchLimit, but in tests.
	limit time.Duration
}

// ShrunkError says that an answer was kept back, because it shrinks a list by more than half.
type ShrunkError struct{ From, To int }

func (e *ShrunkError) Error() string {
	return fmt.Sprintf("the answer has %d entries, and the list had %d: it is kept back, as it shrinks the "+
		"list by more than half", e.To, e.From)
}

// Result is what a fetch found.
type Result struct {
	// Changed reports whether there is another text than before.
	Changed bool
	// Entries is how many the text has that is kept now, Before how many the earlier one had, and
	// Skipped what in the new one is not an address.
	Entries, Before, Skipped int
}

// Fetch asks for the text of a source, and keeps it if it is another one and good. Whatever goes
// wrong, the last good one stays. An answer that shrinks the list by more than half is kept back
// with a *ShrunkError, unless force is set.
func (f *Fetcher) Fetch(ctx context.Context, src *policy.URLSource, force bool) (Result, error) {
	note := f.Cache.Note(src.URL)
	had := f.Cache.text(src.URL)
	if had != nil && !src.Accepts(had) {
		had = nil
	}
	switch {
	case had == nil:
		note.ETag, note.LastModified, note.Entries = "", "", 0
	case note.Entries == 0: // the note was lost
		ranges, _, _ := policy.ParseFetched(had)
		note.Entries = len(ranges)
	}
	res := Result{Before: note.Entries, Entries: note.Entries}
	now := f.Now()
	note.Asked = now
	got, err := f.get(ctx, src.URL, note)
	var ranges []policy.Range
	if err == nil && got.text != nil {
		ranges, res.Skipped, err = f.judge(src, got)
	}
	if err == nil && got.text != nil && !force && 2*len(ranges) < note.Entries {
		err = &ShrunkError{From: note.Entries, To: len(ranges)}
	}
	if err != nil {
		return res, errors.Join(err, f.noteFailure(note, err, now))
	}
	note.Checked, note.Failed, note.Error, note.Failures, note.Withheld = now, time.Time{}, "", 0, 0
	if got.text == nil || string(got.text) == string(had) {
		if got.text != nil {
			note.ETag, note.LastModified = got.etag, got.modified
		}
		return res, f.Cache.save(note, nil)
	}
	note.Fetched, note.ETag, note.LastModified, note.Entries = now, got.etag, got.modified, len(ranges)
	res.Changed, res.Entries = true, len(ranges)
	return res, f.Cache.save(note, got.text)
}

func (f *Fetcher) noteFailure(note Note, err error, now time.Time) error {
	if note.Failures == 0 {
		note.Failed = now
	}
	note.Error = err.Error()
	note.Failures++
	var shrunk *ShrunkError
	if note.Withheld = 0; errors.As(err, &shrunk) {
		note.Withheld = shrunk.To
	}
	return f.Cache.save(note, nil)
}

// judge reads the entries of an answer, and refuses one that is none.
func (f *Fetcher) judge(src *policy.URLSource, got *answer) ([]policy.Range, int, error) {
	if !src.Accepts(got.text) {
		return nil, 0, fmt.Errorf("the answer does not have the checksum sha256 %s", src.SHA256)
	}
	if got.html && len(got.text) > 0 {
		return nil, 0, errors.New("the answer is HTML, and no list")
	}
	return policy.ParseFetched(got.text)
}

// answer is what a server said; text is nil if the one that is kept still is the one.
type answer struct {
	text           []byte
	etag, modified string
	html           bool
}
