package policy

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
	"pbr/compiler/slab"
)

// Options are what Parse may be told beyond the file itself. The zero value is good.
type Options struct {
	// LookupUser finds the uid of a user's name. Names that it does not know, and all names
	// when it is nil, are looked up among the uids that Debian fixes (base-passwd), so that a
	// policy compiles to the same plan on every machine.
	LookupUser func(name string) (uid uint32, ok bool)
	// Lack is what the build leaves out: a policy that asks for it is wrong.
	Lack Lack
	// Fetched is the directory, absolute in the file system, with the texts of URLs that were
	// fetched (FetchedName); empty: there are none.
	Fetched string
	// Sources keeps, of each source of a list, which addresses it has and what of it was skipped.
	Sources bool
	// ErrorsOnly leaves out the warnings that judge the file as a whole, which take half of the
	// time.
	ErrorsOnly bool
}

// Parse reads the policy file of that name from fsys, and the list files it names, relative to
// it; list files named by an absolute path need an fsys rooted at "/". display is the name that
// positions carry. The Document is usable only if the diagnostics have no errors; warnings are
// given in either case, but those that judge the file as a whole only when there are no errors.
func Parse(fsys fs.FS, name, display string) (*Document, Diagnostics) {
	return ParseWith(fsys, name, display, Options{})
}

// ParseWith is Parse with options.
func ParseWith(fsys fs.FS, name, display string, opts Options) (*Document, Diagnostics) {
	p := &parser{fsys: fsys, name: name, opts: opts, doc: &Document{File: display},
		uplinks: map[string]int{}, tables: map[string]int{}, balances: map[string]int{}, rules: map[string]int{},
		schedules: map[string]int{}, usedSchedules: map[string]bool{}, lists: map[string]*listDraft{}}
	p.document()
	if !p.ds.HasErrors() && !opts.ErrorsOnly {
		p.lintWhole()
	}
	p.ds.Sort()
	return p.doc, p.ds
}

// parser gathers a Document and what is wrong with it.
type parser struct {
	fsys fs.FS
	name string
	text string // of the file
	opts Options
	doc  *Document
	ds   Diagnostics

	// These find indexes into doc by name.
	uplinks, tables, balances, policies, rules, schedules map[string]int
	// repeated reports that the name of a policy was there twice.
	repeated bool
	// misnamed reports that an uplink has no name, or another one's: what names an unknown uplink
	// probably means it, so that is not an error of its own.
	misnamed bool
	// usedSchedules are those that a policy names.
	usedSchedules map[string]bool

	lists map[string]*listDraft
	// defaults is [check], which every uplink's check starts from.
	defaults Check
	// These have the entries of policies and rules.
	addrSlab slab.Of[AddrItem]
	numSlab  slab.Of[NumItem]
	portSlab slab.Of[PortItem]
	// rare are those of the policy being read.
	rare RareKeys
	// asked is a stack of the keys that the sections being read understand.
	asked []string
}

// document reads the whole file. Sections are read in the order of their references, whatever
// their order in the file.
func (p *parser) document() {
	text, err := readFile(p.fsys, p.name)
	if err != nil {
		p.errorf(p.wholeFile(), codeReadFile, "", readHint(err, ""), "reading the policy: %v", reason(err))
		return
	}
	p.text = text
	tree, errs := tomltree.Parse(text)
	if !p.syntax(errs) {
		return // what follows from a file that is not TOML would only be confusing
	}
	root := p.section(tree, "", "the policy file")
	p.settings(root.table("pbr"))
	p.check(root.table("check"))
	p.watch(root.table("watch"))
	p.readLists(root.table("lists"))
	p.readSchedules(root.table("schedules"))
	root.tables("uplink", p.uplink)
	root.tables("table", p.table)
	p.defaultTable(root.table("default"))
	root.tables("balance", p.balance)
	n := root.count("policy")
	p.doc.Policies, p.policies = make([]Policy, 0, n), make(map[string]int, n)
	root.tables("policy", p.policy)
	root.tables("rule", p.rule)
	root.done()
	p.fixedNumbers()
	p.prune()
	p.roomForMarks()
	p.checkTemplate()
}

// syntax reports what is not TOML, and what stands in the file twice. It reports whether the file
// can be read all the same.
func (p *parser) syntax(errs []tomltree.SyntaxError) (readable bool) {
	readable = true
	for _, e := range errs {
		pos := p.pos(int32(e.Line), int32(e.Col))
		if e.Duplicate {
			p.errorf(pos, codeDuplicateKey, e.Key, duplicateHint(e), "%s", e.Message)
			continue
		}
		p.errorf(pos, codeSyntax, "", p.syntaxHint(e), "%s", e.Message)
		readable = false
	}
	return readable
}

// syntaxHint says what to write instead. For a key that takes no text it does not ask for quotes.
func (p *parser) syntaxHint(e tomltree.SyntaxError) string {
	if hint := foreignLine(lineAt(p.text, e.Line)); hint != "" {
		return hint
	}
	quoted := strings.HasSuffix(e.Hint, strconv.Quote(e.Word))
	switch {
	case quoted && slices.Contains(booleans, e.Key):
		return writeBoolean
	case quoted && e.Key == "forward" && e.Word != "auto":
		return writeForward
	}
	return e.Hint
}

// duplicateHint says how to write several objects of a kind.
func duplicateHint(e tomltree.SyntaxError) string {
	if e.Header && slices.Contains(severally, e.Key) {
		return "write [[" + e.Key + "]] for each of them"
	}
	return ""
}

// severally are the sections that may stand in a file several times.
var severally = []string{"uplink", "table", "balance", "policy", "rule"}

func (p *parser) wholeFile() Pos { return Pos{File: p.doc.File} }

func (p *parser) pos(line, col int32) Pos {
	return Pos{File: p.doc.File, Line: int(line), Col: int(col)}
}

func (p *parser) nodePos(n *tomltree.Node) Pos { return p.pos(n.Line, n.Col) }

// errorf records an error; key and hint may be empty.
func (p *parser) errorf(pos Pos, code, key, hint, format string, args ...any) {
	p.ds = append(p.ds, Diagnostic{Pos: pos, Severity: Error, Code: code, Key: key, Hint: hint,
		Message: clipped(fmt.Sprintf(format, args...))})
}

// maxMessage is how many bytes a message may have: what it quotes may be of any length.
const maxMessage = 2000

// clipped cuts the middle out of a message that is too long.
func clipped(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage/2], "") + " [...] " + strings.ToValidUTF8(message[len(message)-maxMessage/2:], "")
}

// warnf records a warning; key and hint may be empty.
func (p *parser) warnf(pos Pos, code, key, hint, format string, args ...any) {
	p.ds = append(p.ds, Diagnostic{Pos: pos, Severity: Warning, Code: code, Key: key, Hint: hint,
		Message: clipped(fmt.Sprintf(format, args...))})
}

// fault is what is wrong with a value, before anybody knows where it stands.
type fault struct{ code, message, hint string }

func badValue(hint, format string, args ...any) *fault {
	return &fault{codeBadValue, fmt.Sprintf(format, args...), hint}
}
