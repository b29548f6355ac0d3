package render

import (
	"fmt"
	"io"
	"slices"

	"pbr/compiler/plan"
)

// wrapColumn is where a list of elements continues in a new line.
const wrapColumn = 96

// NFT writes p's nftables table as a file that `nft -f` loads in one transaction (1.0.6 and later).
// The table is removed and recreated in it, so that it loads again and again; counters start at 0.
// It fails, naming the object, when a name cannot be written in nft's language, or when writing to
// w does.
func NFT(w io.Writer, p *plan.Plan) error {
	if err := checkRuleset(&p.Ruleset); err != nil {
		return fmt.Errorf("rendering nftables table %s: %w", plan.TableName, err)
	}
	b := appendNFT(appendPolicyComments(make([]byte, 0, sizeHint(&p.Ruleset)), p), p)
	if _, err := w.Write(appendHeldComment(appendLateComments(b, &p.Ruleset), &p.Ruleset)); err != nil {
		return fmt.Errorf("writing nftables table %s: %w", plan.TableName, err)
	}
	return nil
}

// sizeHint guesses the length of a ruleset's text, so that its buffer seldom grows: the averages of
// large ones.
func sizeHint(rs *plan.Ruleset) int {
	n := 4096 + 80*len(rs.Counters)
	for i := range rs.Sets {
		n += 128 + 20*len(rs.Sets[i].Elements) + 64*len(rs.Sets[i].Tuples)
	}
	for i := range rs.Chains {
		n += 128 + 192*len(rs.Chains[i].Rules)
	}
	return n
}

// appendNFT adds the whole file. "table", "delete table" is the way to remove what may not be
// there: nft 1.0.6 knows no "destroy".
func appendNFT(b []byte, p *plan.Plan) []byte {
	rs := &p.Ruleset
	if slices.ContainsFunc(rs.Sets, func(s plan.Set) bool { return s.Dynamic }) {
		b = append(b, "# Loading this deletes the clients of sticky balances; pbr apply and pbr watch keep them.\n"...)
	}
	if slices.ContainsFunc(rs.Sets, func(s plan.Set) bool { _, _, list := plan.ListOf(s.Name); return list && s.RunTime }) {
		b = append(b, "# Loading this empties the lists that are filled at run time; pbr apply and pbr watch keep their members.\n"...)
	}
	b = append(b, "table inet "+plan.TableName+"\ndelete table inet "+plan.TableName+"\n"...)
	if rs.Empty() {
		return b
	}
	b = append(b, "table inet "+plan.TableName+" {\n"...)
	first := true
	separate := func() {
		if !first {
			b = append(b, '\n')
		}
		first = false
	}
	for i := range rs.Counters {
		separate()
		b = appendCounter(b, &rs.Counters[i])
	}
	late := lateFlowtables(rs)
	for i := range rs.Flowtables {
		if f := &rs.Flowtables[i]; !f.Late {
			separate()
			b = appendFlowtable(b, f)
		}
	}
	lateSets := late.sets(rs)
	for i := range rs.Sets {
		if !lateSets[rs.Sets[i].Name] {
			separate()
			b = appendSet(b, &rs.Sets[i])
		}
	}
	held := heldChains(rs)
	for i := range rs.Chains {
		if !late.used(&rs.Chains[i]) && !held[rs.Chains[i].Name] {
			separate()
			b = appendChain(b, &rs.Chains[i])
		}
	}
	for _, f := range rs.Foreign {
		b = appendComment(b, "\t", "foreign: "+f)
	}
	return append(b, "}\n"...)
}

func appendCounter(b []byte, c *plan.Counter) []byte {
	b = append(b, "\tcounter "...)
	b = append(append(b, c.Name...), " {\n"...)
	b = appendObjectComment(b, c.Comment)
	return append(b, "\t}\n"...)
}

func appendObjectComment(b []byte, comment string) []byte {
	if comment == "" {
		return b
	}
	b = appendQuoted(append(b, "\t\tcomment "...), comment)
	return append(b, '\n')
}

func appendSet(b []byte, s *plan.Set) []byte {
	b = append(b, '\t')
	b = append(b, setKind(s)...)
	b = append(b, ' ')
	b = append(append(b, s.Name...), " {\n"...)
	for _, line := range setHead(s) {
		b = append(append(b, "\t\t"...), line...)
		b = append(b, '\n')
	}
	b = appendElements(b, s)
	return append(b, "\t}\n"...)
}

func setKind(s *plan.Set) string {
	if s.Map {
		return "map"
	}
	return "set"
}

// setHead is what a set's definition says before the elements, a line each.
func setHead(s *plan.Set) []string {
	head := []string{setType(s)}
	if s.Size > 0 {
		head = append(head, fmt.Sprint("size ", s.Size))
	}
	switch {
	case s.RunTime && s.Interval:
		head = append(head, "flags interval,timeout")
	case s.RunTime:
		head = append(head, "flags timeout")
	case s.Interval:
		head = append(head, "flags interval")
	case s.Dynamic:
		head = append(head, "flags dynamic,timeout")
	}
	if s.Counted {
		head = append(head, "counter")
	}
	if s.Comment != "" {
		head = append(head, "comment "+string(appendQuoted(nil, s.Comment)))
	}
	if s.Foreign != "" {
		head = append(head, "# foreign: "+string(appendLine(nil, s.Foreign)))
	}
	return head
}

// numberOf is how nft names the type of numbers that it computes: by an expression that has it. The
// modulus means nothing.
const numberOf = "typeof numgen inc mod 1024"

// timeOf is how nft names the type of times: its "time" is a span of time.
const timeOf = "typeof meta time"

// setType is the line of a set's definition that says what is in it.
func setType(s *plan.Set) string {
	line := "type " + s.TypeName()
	if s.Type == plan.TypeNumber {
		line = numberOf
	}
	if s.Type == plan.TypeTime {
		line = timeOf
	}
	switch {
	case s.Map && s.Data != 0:
		line += " : " + s.Data.String()
	case s.Map:
		line += " : verdict"
	}
	return line
}

func appendElements(b []byte, s *plan.Set) []byte {
	n := len(s.Elements) + len(s.Tuples)
	if n == 0 {
		return b
	}
	b = append(b, "\t\telements = { "...)
	line := len(b)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
			if len(b)-line > wrapColumn-len("\t\telements = { ") {
				b = append(b, "\n\t\t\t     "...)
				line = len(b)
			} else {
				b = append(b, ' ')
			}
		}
		if len(s.Concat) > 0 {
			b = appendTuple(b, s.Concat, &s.Tuples[i])
		} else {
			b = appendElement(b, s.Type, &s.Elements[i])
		}
	}
	return append(b, " }\n"...)
}

// appendTuple adds an element whose key has several fields: "10.0.0.0/8 . tcp . 0-65535 : goto
// policy-web".
func appendTuple(b []byte, types []plan.Type, e *plan.Tuple) []byte {
	for i, sp := range e.Spans(types) {
		if i > 0 {
			b = append(b, " . "...)
		}
		b = appendInterval(b, types[i], sp.From, sp.To)
	}
	b = appendCounterName(b, e.Counter)
	if e.Goto != "" {
		b = append(append(b, " : goto "...), e.Goto...)
	}
	return b
}

func appendElement(b []byte, t plan.Type, e *plan.Element) []byte {
	b = appendCounterName(appendInterval(b, t, e.From, e.To), e.Counter)
	if e.Goto != "" {
		b = append(b, elementVerdict(e)...)
		b = append(b, e.Goto...)
	}
	return b
}

// appendCounterName says what an element counts for. It counts because its map does.
func appendCounterName(b []byte, name string) []byte {
	if name == "" {
		return b
	}
	return appendQuoted(append(b, " comment "...), name)
}

func elementVerdict(e *plan.Element) string {
	if e.Jump {
		return " : jump "
	}
	return " : goto "
}

func appendChain(b []byte, c *plan.Chain) []byte {
	b = append(b, "\tchain "...)
	b = append(append(b, c.Name...), " {\n"...)
	if c.Hook != "" {
		b = appendHook(append(b, "\t\t"...), c)
		b = append(b, '\n')
	}
	if c.Foreign != "" {
		b = appendComment(b, "\t\t", "foreign: "+c.Foreign)
	}
	for i := range c.Rules {
		b = appendChainRule(append(b, "\t\t"...), &c.Rules[i])
		b = append(b, '\n')
	}
	return append(b, "\t}\n"...)
}

// appendHook adds what a base chain says of itself.
func appendHook(b []byte, c *plan.Chain) []byte {
	b = append(append(b, "type "...), c.Kind...)
	b = append(append(b, " hook "...), c.Hook...)
	b = append(b, " priority "...)
	b = append(b, hookPriority(c)...)
	return append(b, "; policy accept;"...)
}

// hookPriority names the standard priorities of family inet (nft(8), "Standard priority names"),
// each of which nft knows at some hooks only.
func hookPriority(c *plan.Chain) string {
	switch {
	case c.Priority == -300:
		return "raw"
	case c.Priority == -150:
		return "mangle"
	case c.Priority == -100 && c.Hook == "prerouting":
		return "dstnat"
	case c.Priority == 0:
		return "filter"
	case c.Priority == 50:
		return "security"
	case c.Priority == 100 && c.Hook == "postrouting":
		return "srcnat"
	}
	return fmt.Sprint(c.Priority)
}
