// Package compiler turns a policy into a plan: it gives out marks, tables and priorities, and
// lowers uplinks, tables, policies and rules to routes, ip rules and an nftables table.
// It is a pure function: the same policy, machine and health give the same plan, byte for byte.
package compiler

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Compile returns the plan of a valid document for a machine. The diagnostics are errors that
// only a plan can show (too many rules for the priorities, a selector that the machine's kernel
// lacks); with any of them there is no plan.
func Compile(doc *policy.Document, host plan.HostFacts, down Health) (*plan.Plan, policy.Diagnostics) {
	return New(doc).Compile(host, down)
}

// Problems returns the diagnostics of Compile without a plan. What the policies become shows none,
// and is most of the work.
func Problems(doc *policy.Document, host plan.HostFacts) policy.Diagnostics {
	_, problems := compile(doc, &classification{}, host, nil)
	return problems
}

// Compiler compiles one document for machines and healths that change. What depends on the document
// alone, which is most of the work for a large one, is done once; its plans share memory and are
// not to be changed.
type Compiler struct {
	// Form is what the policies become; the zero value is for all but tests.
	Form       layers.Form
	doc        *policy.Document
	classified *classification
	last       compiled
}

// compiled is a compilation's result, and what it was for.
type compiled struct {
	host     plan.HostFacts
	down     Health
	plan     *plan.Plan
	problems policy.Diagnostics
}

// is reports whether a compilation for a machine and a health would have the same result.
func (r *compiled) is(host *plan.HostFacts, down Health) bool {
	return (r.plan != nil || r.problems != nil) && maps.Equal(r.down, down) && reflect.DeepEqual(&r.host, host)
}

// New returns a compiler of a valid document, which must not change any more.
func New(doc *policy.Document) *Compiler { return &Compiler{doc: doc} }

// Document is the one that is compiled.
func (c *Compiler) Document() *policy.Document { return c.doc }

// Compile does what the function of that name does. Asked again for the same machine and health it
// returns the same plan.
func (c *Compiler) Compile(host plan.HostFacts, down Health) (*plan.Plan, policy.Diagnostics) {
	if c.last.is(&host, down) {
		return c.last.plan, c.last.problems
	}
	if c.classified == nil {
		c.classified = classify(c.doc, c.Form)
	}
	want, problems := compile(c.doc, c.classified, host, down)
	host.Links = maps.Clone(host.Links) // the caller's, like down
	c.last = compiled{host, maps.Clone(down), want, problems}
	return want, problems
}

// Settings are what sysctl = true sets, whether the document has it or not.
func (c *Compiler) Settings(host plan.HostFacts, down Health) []plan.Sysctl {
	doc := *c.doc
	doc.Settings.Sysctl = true
	all := newCompilation(&doc, host, down)
	all.addSysctls()
	plan.Sort(all.out)
	return all.out.Sysctls
}

func newCompilation(doc *policy.Document, host plan.HostFacts, down Health) *compilation {
	c := &compilation{
		doc: doc, host: host, down: down,
		mask:    doc.Settings.MarkMask,
		uplinks: map[string]*policy.Uplink{},
		lists:   map[string]*policy.List{},
		shared:  map[string]bool{},
		returns: policy.Returns(doc),
		out:     &plan.Plan{Mask: doc.Settings.MarkMask, BasePriority: doc.Settings.RulePriority},
	}
	for i := range doc.Uplinks {
		c.uplinks[doc.Uplinks[i].Name] = &doc.Uplinks[i]
	}
	for i := range doc.Lists {
		c.lists[doc.Lists[i].Name] = &doc.Lists[i]
	}
	return c
}

func compile(doc *policy.Document, classified *classification, host plan.HostFacts, down Health) (*plan.Plan, policy.Diagnostics) {
	c := newCompilation(doc, host, down)
	if c.numbers = giveNumbers(doc); c.numbers == nil {
		c.problem(doc.Settings.MarkMaskPos, policy.CodeMask, "pbr.mark-mask",
			fmt.Sprintf("mark-mask %#08x has too few values for all uplinks and tables", c.mask), "use a mask with more bits")
		return nil, c.problems
	}
	c.out.Inside, c.out.Numbers = c.numbers.inside, c.numbers.list()
	for _, remark := range policy.Comments(doc) {
		c.out.Comments = append(c.out.Comments, plan.Comment(remark))
	}

	c.checkGateways()
	c.addRoutes()
	c.addRules()
	c.addRuleset(classified)
	c.addSysctls()
	if len(c.problems) > 0 {
		c.problems.Sort()
		return nil, c.problems
	}
	plan.Normalize(c.out)
	c.out.Deferred = slices.Compact(c.out.Deferred)
	return c.out, nil
}

// compilation is the state of one Compile.
type compilation struct {
	doc     *policy.Document
	host    plan.HostFacts
	down    Health
	mask    uint32
	uplinks map[string]*policy.Uplink
	lists   map[string]*policy.List
	// returns are the tables whose connections move back, and variants of tables.
	returns []policy.Return
	// shared are the sets that were added for several users.
	shared   map[string]bool
	numbers  *numbers
	out      *plan.Plan
	problems policy.Diagnostics
}

func (c *compilation) problem(pos policy.Pos, code, key, message, hint string) {
	c.problems = append(c.problems, policy.Diagnostic{
		Pos: pos, Severity: policy.Error, Code: code, Key: key, Message: message, Hint: hint,
	})
}

// postponeUplink notes an uplink that cannot be installed yet.
func (c *compilation) postponeUplink(name, reason string) {
	c.out.Deferred = append(c.out.Deferred, plan.Deferred{Object: "uplink " + name, Uplink: name, Reason: reason})
}

// postpone notes another part of the policy that cannot be installed yet.
func (c *compilation) postpone(object, reason string) {
	c.out.Deferred = append(c.out.Deferred, plan.Deferred{Object: object, Reason: reason})
}
