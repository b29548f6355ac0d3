package policy

import (
	"net/netip"
	"slices"
	"time"
)

// SourceKind is what a source is.
type SourceKind uint8

const (
	FromEntries SourceKind = iota // addresses that stand in the policy file
	FromFile                      // { file = "..." }
	FromURL                       // { url = "..." }
	FromDomains                   // { domains = [...] }
	FromDynamic                   // { dynamic = true }
)

// String is the key that makes a source such a one; "entries" for those that stand in the policy
// file.
func (k SourceKind) String() string {
	return [...]string{"entries", "file", "url", "domains", "dynamic"}[k]
}

// Source is one of the things that a list is made of.
type Source struct {
	Pos  Pos
	Kind SourceKind
	// File, URL, Domains and Dynamic are set for the kinds that have their names.
	File    FileSource
	URL     URLSource
	Domains DomainSource
	Dynamic DynamicSource
	// Entries is how many addresses, prefixes and ranges the source has: those that stand in the
	// policy file or the list file, or in what was fetched last.
	Entries int
	// Ranges are these, in their final form, and Skipped what in a text that was fetched is not an
	// address: with Options.Sources only.
	Ranges  []Range
	Skipped []Skipped
}

// FileSource is { file = "..." }.
type FileSource struct {
	// Path is the path as written: relative to the policy file.
	Path string
}

// URLSource is { url = "..." }.
type URLSource struct {
	URL string
	// Refresh is how long what was fetched is good.
	Refresh time.Duration
	// SHA256 is the checksum of the text, in lower case hexadecimal; empty: any text is good.
	SHA256 string
	// Fetched reports whether there is a text of it on this machine.
	Fetched bool
}

// DomainSource is { domains = [...] }.
type DomainSource struct {
	// Names are in lower case without a closing dot; each stands for itself and all names below it.
	Names []string
	// Timeout is how long an address stays at least after an answer has named it.
	Timeout time.Duration
	// AllowPrivate has private, loopback, link-local and multicast addresses taken, too.
	AllowPrivate bool
	// Resolvers are those whose answers count; empty: all.
	Resolvers []netip.Addr
	// Size is how many addresses of each IP version there may be.
	Size int
}

// DynamicSource is { dynamic = true }: pbr lists add fills it.
type DynamicSource struct {
	// Timeout is how long a member stays that is added without a time of its own; 0 is for ever.
	Timeout time.Duration
	// Size is how many members of each IP version there may be.
	Size int
	// Persist keeps the members over a restart of the machine.
	Persist bool
}

// RunTime reports whether the list gets members while the policy is in force, from pbr lists, DNS
// answers or dnsmasq. What the policy file says about such a list is not all that is in it.
func (l *List) RunTime() bool {
	return slices.ContainsFunc(l.Sources, func(s Source) bool { return s.Kind == FromDomains || s.Kind == FromDynamic })
}

// Variable reports whether the list's content may change while the policy file stays as it is, so
// that nothing is to be concluded from what is in it now.
func (l *List) Variable() bool {
	return l.Outer || l.RunTime() || slices.ContainsFunc(l.Sources, func(s Source) bool { return s.Kind == FromURL })
}

// Size is how many members of each IP version a run-time list may have.
func (l *List) Size() (n int) {
	for i := range l.Sources {
		switch s := &l.Sources[i]; s.Kind {
		case FromDomains:
			n += s.Domains.Size
		case FromDynamic:
			n += s.Dynamic.Size
		}
	}
	return n
}

// Dynamic returns the source that pbr lists add fills, nil if the list has none.
func (l *List) Dynamic() *DynamicSource {
	for i := range l.Sources {
		if s := &l.Sources[i]; s.Kind == FromDynamic {
			return &s.Dynamic
		}
	}
	return nil
}

// HasDomains reports whether DNS answers fill a list of the policy.
func HasDomains(doc *Document) bool {
	return slices.ContainsFunc(doc.Lists, func(l List) bool { return len(l.DomainSources()) > 0 })
}

// DomainSources returns those that DNS answers fill.
func (l *List) DomainSources() (out []*DomainSource) {
	for i := range l.Sources {
		if s := &l.Sources[i]; s.Kind == FromDomains {
			out = append(out, &s.Domains)
		}
	}
	return out
}
