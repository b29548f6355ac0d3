package nft

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/lazy"
	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// readAttempts is how often a read starts again because something changed while it continued.
const readAttempts = 10

// Read reads the table. All of it is of one generation. guess, nil for none, is what the table
// probably has: the kernel is asked whether it has the elements of big sets instead of for all of
// them, and the result shares the guess's memory.
func (c *Conn) Read(guess *plan.Ruleset) (*Live, error) {
	return c.read(&reader{guess: guess})
}

// Outline reads the table without the elements of its named sets, which take the kernel long to
// list (see bigSet). It is enough to tell what there is, and no base for Apply.
func (c *Conn) Outline() (*plan.Ruleset, error) {
	live, err := c.read(&reader{outline: true})
	if err != nil {
		return nil, err
	}
	return &live.Ruleset, nil
}

// read reads the table as how says, again when it changed meanwhile.
func (c *Conn) read(how *reader) (*Live, error) {
	for range readAttempts {
		live, err := c.readOnce(*how)
		if err == nil {
			return live, nil
		}
		if !errors.Is(err, ErrChanged) && !errors.Is(err, errDumpInterrupted) && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("reading table inet %s: %w at each of %d attempts", plan.TableName, ErrChanged, readAttempts)
}

// Load is Read without reading, from a snapshot: it succeeds when nothing of the namespace's
// nftables has changed since that was taken; if it does not, the result is still a guess, or nil.
// want is what the table is going to be compared with; the result shares its memory and the
// snapshot's.
func (c *Conn) Load(snapshot []byte, want *plan.Ruleset) (*Live, bool) {
	live, err := parseSnapshot(snapshot, want)
	if err != nil || live.identity != c.identity() {
		return nil, false
	}
	return live, c.Unchanged(live)
}

// Unchanged reports whether nftables is what it was when live was read, except for members of
// run-time sets that pbr changed.
func (c *Conn) Unchanged(live *Live) bool {
	s := c.Ledger.hold()
	defer s.release()
	now, err := c.Generation()
	if err != nil || now != live.Generation && !s.covers(live.Generation, now) {
		return false
	}
	live.Generation = now
	return true
}

// Since returns the generation, or an earlier one if nothing but members of run-time sets, by pbr,
// changed since that.
func (c *Conn) Since(earlier uint32) (uint32, error) {
	s := c.Ledger.hold()
	defer s.release()
	now, err := c.Generation()
	if err == nil && s.covers(earlier, now) {
		return earlier, nil
	}
	return now, err
}

func (c *Conn) readOnce(r reader) (*Live, error) {
	before, err := c.Generation()
	if err != nil {
		return nil, err
	}
	c.tolerant, c.interrupted = true, false
	defer func() { c.tolerant = false }()
	r.c, r.live = c, &Live{Generation: before, identity: c.identity(), irregular: map[string]bool{}}
	if err := r.table(); err != nil {
		return nil, fmt.Errorf("reading table inet %s: %w", plan.TableName, err)
	}
	after, err := c.Generation()
	if err != nil {
		return nil, err
	}
	if after != before && !c.onlyMembers(before, after) || after == before && c.interrupted {
		return nil, ErrChanged
	}
	r.live.Generation = after
	return r.live, nil
}

// onlyMembers reports whether members of run-time sets, which are not read here, are all that
// changed between two generations.
func (c *Conn) onlyMembers(earlier, later uint32) bool {
	s := c.Ledger.hold()
	defer s.release()
	return s.covers(earlier, later)
}

// reader gathers one Live.
type reader struct {
	c    *Conn
	live *Live
	// guess is what is probably there, nil for no idea.
	guess *plan.Ruleset
	// outline omits the elements of named sets.
	outline bool
	// counts are how many elements the kernel says that each named set has; 0 where it does not
	// say.
	counts map[string]int
	// traces are the owners of trace chains, by chain.
	traces map[string]TraceOwner
	// anonymous are the sets that only foreign rules have, with their elements in words.
	anonymous map[string]string
}

func (r *reader) table() error {
	if err := r.tableItself(); err != nil || !r.live.exists {
		return err
	}
	for _, part := range []struct {
		name string
		read func() error
	}{{"objects", r.objects}, {"flowtables", r.flowtables}, {"sets", r.sets}, {"chains", r.chains}, {"rules", r.rules}} {
		if err := part.read(); err != nil {
			return fmt.Errorf("listing %s: %w", part.name, err)
		}
	}
	r.hideTrace()
	rs := &r.live.Ruleset
	if rs.Empty() {
		rs.Foreign = []string{"the table itself, empty"}
	}
	slices.Sort(rs.Foreign)
	return nil
}

func (r *reader) odd(format string, args ...any) {
	r.live.Ruleset.Foreign = append(r.live.Ruleset.Foreign, fmt.Sprintf(format, args...))
}

func (r *reader) tableItself() error {
	return r.c.dump(unix.NFT_MSG_GETTABLE, familyInet, nil, func(raw []byte) error {
		if text(attr(raw, unix.NFTA_TABLE_NAME)) != plan.TableName {
			return nil
		}
		r.live.exists = true
		if flags := number(attr(raw, unix.NFTA_TABLE_FLAGS)); flags != 0 {
			r.live.rebuild = true
			r.odd("table flags %#x", flags)
		}
		// nft 1.1.7 also keeps there which version made the table.
		if comment := udataText(attr(raw, tableUserdata), udataObjComment); comment != "" {
			r.live.rebuild = true
			r.odd("table userdata: comment %q", comment)
		}
		return nil
	})
}

// inTable is a filter for the table's objects. It is the first attribute of all requests.
func inTable() []byte {
	var w writer
	w.str(unix.NFTA_SET_TABLE, plan.TableName)
	return w.b
}

func (r *reader) objects() error {
	err := r.c.dump(unix.NFT_MSG_GETOBJ, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, unix.NFTA_OBJ_TABLE)) != plan.TableName {
			return nil
		}
		name, kind := text(attr(raw, unix.NFTA_OBJ_NAME)), number(attr(raw, unix.NFTA_OBJ_TYPE))
		userdata := attr(raw, objUserdata)
		comment := udataText(userdata, udataObjComment)
		switch {
		case kind != unix.NFT_OBJECT_COUNTER:
			r.foreignObject(kind, name)
		case string(appendComment(nil, udataObjComment, comment)) != string(userdata):
			r.live.Ruleset.Counters = append(r.live.Ruleset.Counters,
				plan.Counter{Name: name, Comment: "userdata " + hex.EncodeToString(userdata)})
		default:
			r.live.Ruleset.Counters = append(r.live.Ruleset.Counters, plan.Counter{Name: name, Comment: comment})
		}
		return nil
	})
	sorting.Func(r.live.Ruleset.Counters, func(a, b plan.Counter) int { return strings.Compare(a.Name, b.Name) })
	return err
}

// objectWords are nft's names of the stateful objects, by NFT_OBJECT_*.
var objectWords = lazy.Value[map[uint32]string]{Make: func() map[uint32]string {
	return map[uint32]string{unix.NFT_OBJECT_QUOTA: "quota", unix.NFT_OBJECT_CT_HELPER: "ct helper",
		unix.NFT_OBJECT_LIMIT: "limit", unix.NFT_OBJECT_CONNLIMIT: "ct count", unix.NFT_OBJECT_TUNNEL: "tunnel",
		unix.NFT_OBJECT_CT_TIMEOUT: "ct timeout", unix.NFT_OBJECT_SECMARK: "secmark", unix.NFT_OBJECT_CT_EXPECT: "ct expectation",
		unix.NFT_OBJECT_SYNPROXY: "synproxy"}
}}

func (r *reader) foreignObject(kind uint32, name string) {
	word, ok := objectWords.Get()[kind]
	if !ok {
		word = fmt.Sprintf("object of type %d", kind)
	}
	r.odd("%s %s", word, name)
	r.live.foreign = append(r.live.foreign, foreignObject{kind, name})
}

func (r *reader) sets() error {
	var anonymous []plan.Set
	r.counts = map[string]int{}
	err := r.c.dump(unix.NFT_MSG_GETSET, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, unix.NFTA_SET_TABLE)) != plan.TableName {
			return nil
		}
		s, flags := decodeSet(raw)
		if r.c.staged[s.Name] != nil {
			return nil
		}
		if flags&setAnonymous != 0 {
			anonymous = append(anonymous, s)
			return nil
		}
		r.live.Ruleset.Sets = append(r.live.Ruleset.Sets, s)
		r.counts[s.Name] = int(number(attr(raw, setCount)))
		return nil
	})
	if err != nil {
		return err
	}
	r.live.bCopies = nameSets(r.live.Ruleset.Sets)
	for i := range r.live.Ruleset.Sets {
		if err := r.elements(&r.live.Ruleset.Sets[i]); err != nil {
			return err
		}
	}
	sorting.Func(r.live.Ruleset.Sets, func(a, b plan.Set) int { return strings.Compare(a.Name, b.Name) })
	return r.anonymousSets(anonymous)
}

func setFilter(name string) []byte {
	w := writer{inTable()}
	w.str(unix.NFTA_SET_ELEM_LIST_SET, name)
	return w.b
}

func (r *reader) elements(s *plan.Set) error {
	if r.outline || !hasKey(s) || s.Dynamic || s.RunTime {
		return nil // what packets put into a set is no part of a plan
	}
	if same, err := r.asGuessed(s); same || err != nil {
		return err
	}
	er := elementReader{set: s}
	err := r.c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(kernelSet(r.live.bCopies, s.Name)), func(raw []byte) error {
		for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			er.add(elem)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("elements of set %s: %w", s.Name, err)
	}
	if er.finish() {
		r.live.irregular[s.Name] = true
	}
	return nil
}

// anonymousSets puts the elements of anonymous sets into words, so that foreign rules differ when
// these do.
func (r *reader) anonymousSets(sets []plan.Set) error {
	r.anonymous = make(map[string]string, len(sets))
	for i := range sets {
		var elems []string
		err := r.c.dump(unix.NFT_MSG_GETSETELEM, familyInet, setFilter(sets[i].Name), func(raw []byte) error {
			for _, elem := range attrs(attr(raw, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				elems = append(elems, describeElement(elem))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("elements of set %s: %w", sets[i].Name, err)
		}
		slices.Sort(elems)
		r.anonymous[sets[i].Name] = "{ " + strings.Join(elems, ", ") + " }"
	}
	return nil
}

// chains lists the chains in the order in which they were made.
func (r *reader) chains() error {
	return r.c.dump(unix.NFT_MSG_GETCHAIN, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, unix.NFTA_CHAIN_TABLE)) == plan.TableName {
			r.live.Ruleset.Chains = append(r.live.Ruleset.Chains, decodeChain(raw))
			r.live.handles = append(r.live.handles, nil)
		}
		return nil
	})
}

// rules lists the rules of all chains in one go.
func (r *reader) rules() error {
	rs := &r.live.Ruleset
	index := make(map[string]int, len(rs.Chains))
	for i := range rs.Chains {
		index[rs.Chains[i].Name] = i
	}
	enc := ruleEncoder{sets: setsByName(rs.Sets), bCopies: r.live.bCopies}
	return r.c.dump(unix.NFT_MSG_GETRULE, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, unix.NFTA_RULE_TABLE)) != plan.TableName {
			return nil
		}
		name := text(attr(raw, unix.NFTA_RULE_CHAIN))
		i, ok := index[name]
		if !ok {
			return ErrChanged
		}
		r.noteTrace(name, attr(raw, unix.NFTA_RULE_USERDATA))
		rule := enc.decodeRule(attr(raw, unix.NFTA_RULE_EXPRESSIONS), attr(raw, unix.NFTA_RULE_USERDATA))
		if rule.Foreign != "" {
			rule.Foreign = r.spellSets(rule.Foreign)
		}
		rs.Chains[i].Rules = append(rs.Chains[i].Rules, rule)
		r.live.handles[i] = append(r.live.handles[i], number64(attr(raw, unix.NFTA_RULE_HANDLE)))
		return nil
	})
}

// spellSets puts the elements of anonymous sets in the place of their numbered names.
func (r *reader) spellSets(rule string) string {
	for name, elems := range r.anonymous {
		rule = strings.ReplaceAll(rule, fmt.Sprintf("%q", name), elems)
	}
	return rule
}

func setsByName(sets []plan.Set) map[string]*plan.Set {
	m := make(map[string]*plan.Set, len(sets))
	for i := range sets {
		m[sets[i].Name] = &sets[i]
	}
	return m
}
