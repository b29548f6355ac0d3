package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/sources"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/state"
)

// listsResult is the JSON of lists.
type listsResult struct {
	Lists []listStatus `json:"lists"`
}

// listStatus is one list.
type listStatus struct {
	Name string `json:"name"`
	Line int    `json:"line"`
	// Sources are what the list is made of, in the file's order.
	Sources []listSource `json:"sources"`
	// Entries is how many addresses, prefixes and ranges the policy knows of, overlapping and
	// adjacent ones merged.
	Entries int `json:"entries"`
	// RunTime means that the list is also filled at run time; Size is how many members of each IP
	// version it may have then.
	RunTime bool `json:"living"`
	Size    int  `json:"size,omitempty"`
	// Members are all that is in the list; those that were added at run time are missing, and
	// Unknown says why, where they cannot be read.
	Members []listMember `json:"members"`
	Unknown string       `json:"unknown,omitempty"`
}

// listSource is a source of a list.
type listSource struct {
	// Kind is "entries", "file", "url", "domains" or "dynamic".
	Kind string `json:"source"`
	// File, URL and Domains are those of the kinds of these names.
	File    string   `json:"file,omitempty"`
	URL     string   `json:"url,omitempty"`
	Domains []string `json:"domains,omitempty"`
	// Entries is how many lines or values it has.
	Entries int `json:"entries"`
	// Refresh is how often a URL is fetched, Timeout how long members stay, in seconds.
	Refresh float64 `json:"refresh_s,omitempty"`
	// Fetched is when a URL's text came, Checked when the server last said that it still is the
	// one; Error is why fetching fails since Failed, and Withheld how many entries an answer has
	// that was kept back.
	Fetched  *time.Time `json:"fetched,omitempty"`
	Checked  *time.Time `json:"checked,omitempty"`
	Failed   *time.Time `json:"failed,omitempty"`
	Error    string     `json:"error,omitempty"`
	Withheld int        `json:"withheld,omitempty"`
	Timeout  float64    `json:"timeout_s,omitempty"`
	Persist  bool       `json:"persist,omitempty"`
	// Skipped is what in a URL's text is not an address.
	Skipped []skippedEntry `json:"skipped,omitempty"`
}

// skippedEntry is a policy.Skipped in JSON.
type skippedEntry struct {
	Line  int    `json:"line,omitempty"`
	Entry int    `json:"entry,omitempty"`
	Text  string `json:"text"`
	Why   string `json:"why"`
}

// listMember is an address, prefix or range that is in a list.
type listMember struct {
	Member string `json:"member"`
	// Source is "policy" for what stands in the policy file, "file", "url" or "list" for what comes
	// from there alone, "added" for what pbr lists added, "learned" for what DNS answers gave.
	Source string `json:"source"`
	// From names the files, URLs and lists that it comes from.
	From []string `json:"from,omitempty"`
	// told is the text of both.
	told []string
	// Name is the name that it is an address of.
	Name string `json:"name,omitempty"`
	// Timeout is how long the member stays, and Expires how much of it is left, in seconds; absent
	// means for ever.
	Timeout float64 `json:"timeout_s,omitempty"`
	Expires float64 `json:"expires_s,omitempty"`
}

func (c command) runLists(ctx *cli.Context) error {
	args := ctx.Args()
	if args.Len() > 1 {
		return usageError("lists shows one list or all, but got %d names: write pbr lists [NAME]", args.Len())
	}
	res := &listsResult{Lists: []listStatus{}}
	err := withKernel(func(k *kernel.Kernel) error {
		f, err := c.loadShown(ctx, k)
		if err != nil {
			return err
		}
		doc := f.withSources()
		lists := doc.Lists
		if args.Len() == 1 {
			l, err := listNamed(doc, args.First())
			if err != nil {
				return err
			}
			lists = []policy.List{*l}
		}
		for i := range lists {
			res.Lists = append(res.Lists, c.listStatus(k, doc, &lists[i]))
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case ctx.Bool("json"):
		return printJSON(c.stdout, res)
	case args.Len() == 1:
		c.writeList(&res.Lists[0])
	default:
		c.writeLists(res)
	}
	return nil
}

func (c command) listStatus(k *kernel.Kernel, doc *policy.Document, l *policy.List) listStatus {
	s := listStatus{Name: l.Name, Line: l.Pos.Line, Sources: []listSource{}, Entries: len(l.Ranges), RunTime: l.RunTime(),
		Size: l.Size(), Members: []listMember{}}
	for i := range l.Sources {
		s.Sources = append(s.Sources, sourceStatus(k, &l.Sources[i]))
	}
	if s.RunTime {
		added, err := membersOf(k, l)
		s.Members = append(s.Members, added...)
		if err != nil {
			s.Unknown = rootHint(err)
		}
	}
	s.Members = append(s.Members, knownMembers(doc, l)...)
	return s
}

func sourceStatus(k *kernel.Kernel, src *policy.Source) listSource {
	s := listSource{Kind: src.Kind.String(), Entries: src.Entries}
	for _, skipped := range src.Skipped {
		s.Skipped = append(s.Skipped, skippedEntry(skipped))
	}
	switch src.Kind {
	case policy.FromFile:
		s.File = src.File.Path
	case policy.FromURL:
		s.URL, s.Refresh = src.URL.URL, src.URL.Refresh.Seconds()
		n := sources.Open(state.Find(k.Dir())).Note(src.URL.URL)
		s.Fetched, s.Checked, s.Failed, s.Error, s.Withheld = ifSet(n.Fetched), ifSet(n.Checked), ifSet(n.Failed), n.Error, n.Withheld
	case policy.FromDomains:
		s.Domains, s.Timeout = src.Domains.Names, src.Domains.Timeout.Seconds()
	case policy.FromDynamic:
		s.Timeout, s.Persist = src.Dynamic.Timeout.Seconds(), src.Dynamic.Persist
	}
	return s
}

// ifSet is a time, nil if there is none.
func ifSet(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// membersOf reads what was added to a list at run time, as it was added.
func membersOf(k *kernel.Kernel, l *policy.List) ([]listMember, error) {
	sets, err := runTimeSets(k, l)
	if err != nil {
		return nil, err
	}
	if len(l.DomainSources()) > 0 {
		_, _ = daemon.Ask(k.Dir(), daemon.Request{Do: "keep"}) // without a watch there is nothing new
	}
	now, dir := time.Now(), state.Find(k.Dir())
	learned, _ := members.Load(dir, l.Name, members.Learned, now)
	f, _ := members.Load(dir, l.Name, members.Added, now) // what is damaged shows as the kernel has it
	for _, s := range sets {
		f.Adopt(s.have, s.family, now)
	}
	names := map[string]string{}
	for _, m := range learned.Members {
		names[m.String()] = m.Name
	}
	sorting.Func(f.Members, func(a, b members.Member) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	out := make([]listMember, 0, len(f.Members))
	for i := range f.Members {
		m := &f.Members[i]
		one := listMember{Member: m.String(), Source: "added", Timeout: m.Timeout.Seconds()}
		if name, is := names[one.Member]; is || l.Dynamic() == nil {
			one.Source, one.Name = "learned", name
		}
		if m.Timeout > 0 {
			one.Expires = m.Left(now).Seconds()
		}
		out = append(out, one)
	}
	return out, nil
}

func (c command) writeLists(res *listsResult) {
	if len(res.Lists) == 0 {
		fmt.Fprintln(c.stdout, "the policy has no lists")
		return
	}
	rows := [][]string{{"LIST", "ENTRIES", "MEMBERS", "SOURCES"}}
	for i := range res.Lists {
		s := &res.Lists[i]
		atRunTime := "-"
		if s.RunTime {
			atRunTime = fmt.Sprintf("%d of %d", len(s.Members)-s.Entries, s.Size)
		}
		if s.Unknown != "" {
			atRunTime = "unknown"
		}
		var sources []string
		for j := range s.Sources {
			text := s.Sources[j].text()
			if n := len(s.Sources[j].Skipped); n > 0 {
				text += fmt.Sprintf(" (%d skipped)", n)
			}
			sources = append(sources, text)
		}
		rows = append(rows, []string{s.Name, fmt.Sprint(s.Entries), atRunTime, strings.Join(sources, ", ")})
	}
	writeRows(c.stdout, rows, func(int, int) string { return "" })
	c.reportUnknown(res.Lists)
}

// reportUnknown says why members are not known, each reason once.
func (c command) reportUnknown(lists []listStatus) {
	told := map[string]bool{}
	for i := range lists {
		if why := lists[i].Unknown; why != "" && !told[why] {
			told[why] = true
			fmt.Fprintf(c.stderr, "pbr: the members cannot be read: %s\n", why)
		}
	}
}

// text is a source in a few words.
func (s *listSource) text() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.URL != "":
		return "url " + s.URL
	case len(s.Domains) > 0:
		return "domains " + strings.Join(s.Domains[:min(shownDomains, len(s.Domains))], " ") + more(len(s.Domains)-shownDomains)
	}
	return s.Kind
}

// fetchedText describes the state of fetching.
func (s *listSource) fetchedText() string {
	text := "not fetched yet"
	if s.Fetched != nil {
		text = "fetched at " + s.Fetched.Local().Format(time.DateTime)
	}
	if s.Error != "" {
		text += ", failing since " + s.Failed.Local().Format(time.DateTime) + ": " + s.Error
	}
	return text
}

// shownDomains is how many names of a list are shown in a line.
const shownDomains = 3

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func (c command) writeList(s *listStatus) {
	fmt.Fprintf(c.stdout, "list %s, line %d\n", s.Name, s.Line)
	for i := range s.Sources {
		src := &s.Sources[i]
		text := src.text()
		if src.Kind != policy.FromDynamic.String() && src.Kind != policy.FromDomains.String() {
			text += ": " + counted(src.Entries, "entry")
		}
		if src.Refresh > 0 {
			text += ", fetched every " + span(seconds(src.Refresh))
		}
		if src.Timeout > 0 {
			text += ", timeout " + span(seconds(src.Timeout))
		}
		if src.Persist {
			text += ", persistent"
		}
		fmt.Fprintln(c.stdout, "  source: "+text)
		if src.URL != "" {
			fmt.Fprintln(c.stdout, "          "+src.fetchedText())
		}
		c.writeSkipped(src)
	}
	if s.RunTime {
		fmt.Fprintf(c.stdout, "  size: at most %d members of each IP version\n", s.Size)
	}
	if len(s.Members) > 0 {
		rows := [][]string{{"MEMBER", "SOURCE", "EXPIRES IN"}}
		for _, m := range s.Members {
			left := "-"
			if m.Timeout > 0 {
				left = span(seconds(m.Expires))
			}
			rows = append(rows, []string{m.Member, m.sourceText(), left})
		}
		writeRows(c.stdout, rows, func(int, int) string { return "" })
	}
	c.reportUnknown([]listStatus{*s})
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// counted is a number of things, by the name of one.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if stem, ends := strings.CutSuffix(one, "y"); ends {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, one)
}
