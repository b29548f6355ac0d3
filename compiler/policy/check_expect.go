package policy

import "pbr/compiler/policy/internal/tomltree"

// expectAddress is the word of a dns check's expect.
const expectAddress = "address"

// Expect is what an answer must be beyond what its method asks of every answer.
type Expect struct {
	Pos Pos
	// Statuses are those that an http answer may have; none: 200 to 299.
	Statuses []int
	// Body must occur in an http answer's body; empty: anything does.
	Body string
	// Address: a dns answer must hold an A or AAAA record.
	Address bool
}

// expectation reads expect and name, which belong to one method each.
func (s *section) expectation(c *Check) {
	name, pos := s.str("name")
	switch {
	case pos.Line == 0:
	case c.Method != CheckDNS:
		s.errorAt(pos, codeConflict, "name", `leave it out, or write method = "dns"`,
			"name is what a check by dns asks for, this one is by %q", c.Method)
	default:
		c.Name = domainName(name)
		if !validDomain(c.Name) {
			s.errorAt(pos, codeBadValue, "name", `write a name as "example.com"`, "invalid domain name %q", name)
		}
	}
	f := s.get("expect")
	if f == nil {
		return
	}
	c.Expect.Pos = s.p.nodePos(&f.Value)
	switch c.Method {
	case CheckDNS:
		s.expectDNS(c, f)
	case CheckHTTP:
		s.expectHTTP(c, f)
	default:
		s.errorAt(c.Expect.Pos, codeConflict, "expect", `leave it out, or write method = "http" or "dns"`,
			"expect is for checks by http and dns, this one is by %q", c.Method)
	}
}

// expectDNS reads the one word that a dns check's expect can be.
func (s *section) expectDNS(c *Check, f *tomltree.Field) {
	if f.Value.Kind != tomltree.String {
		s.errorAt(c.Expect.Pos, codeWrongType, "expect", `write expect = "address"`,
			"expect: want %q for a check by dns, have %s", expectAddress, describe(&f.Value))
		return
	}
	_, pos := s.word("expect", "", expectAddress)
	c.Expect.Address = pos.Line != 0
	if c.Expect.Address && s.fields.Get("name") == nil {
		s.errorAt(pos, codeMissingKey, "name", `for example name = "example.com"`, "expect = %q needs the name to ask for", expectAddress)
	}
}

// expectHTTP reads a status, several ones, or a table.
func (s *section) expectHTTP(c *Check, f *tomltree.Field) {
	if f.Value.Kind != tomltree.Table {
		c.Expect.Statuses = s.statuses("expect")
		return
	}
	t := s.table("expect")
	t.label = s.title() + ": expect"
	c.Expect.Statuses = t.statuses("status")
	c.Expect.Body, _ = t.str("body")
	if t.fields.Get("status") == nil && t.fields.Get("body") == nil {
		t.errorAt(t.pos(), codeMissingKey, "", `write expect = 204 or expect = { status = [200, 204], body = "text" }`,
			"neither status nor body is given")
	}
	t.done()
}

// statuses reads final HTTP status codes (RFC 9110, 15): those of 1xx are followed by another.
func (s *section) statuses(key string) (out []int) {
	for n := range s.items(key) {
		if n.Kind != tomltree.Integer {
			s.wrongType(key, n, "an integer")
			continue
		}
		v := n.Int()
		if v < 200 || v > 599 {
			s.errorAt(s.p.nodePos(n), codeBadValue, key, "write a status from 200 to 599, as 204", "invalid status %s", n.Text)
			continue
		}
		out = append(out, int(v))
	}
	return out
}
