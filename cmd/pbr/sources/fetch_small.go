//go:build small

package sources

import (
	"context"
	"errors"
)

// get cannot fetch anything in this build, which has no HTTP client. A policy with a URL is refused
// before.
func (f *Fetcher) get(context.Context, string, Note) (*answer, error) {
	return nil, errors.New("this build cannot fetch: it has no HTTP client")
}
