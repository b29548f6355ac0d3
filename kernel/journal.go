package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"pbr/compiler/plan"
)

// journal is what pbr took into its possession in one network namespace. It is
// written before anything is changed, and so tells the next run what a killed one may have left.
type journal struct {
	// Owned has what the plan in force owns first, and after it, until all of that is gone, what earlier ones did.
	Owned []owned `json:"owned,omitempty"`
	// Sysctls are the settings that pbr changed, sorted by path.
	Sysctls []setting `json:"sysctls,omitempty"`
}

// owned is one plan's share of the namespace's numbers; tables and marks are sorted.
type owned struct {
	Mask         uint32   `json:"mask"`
	BasePriority uint32   `json:"base_priority"`
	Tables       []uint32 `json:"tables,omitempty"`
	Marks        []uint32 `json:"marks,omitempty"`
}

// setting is a sysctl with its value from before pbr's first change, and pbr's own.
type setting struct {
	Path     string `json:"path"`
	Original string `json:"original"`
	Set      string `json:"set"`
}

// possession returns what a plan owns. A plan without Numbers (a saved one) tells it by its rules and routes.
func possession(p *plan.Plan) owned {
	o := owned{Mask: p.Mask, BasePriority: p.BasePriority}
	for _, n := range p.Numbers {
		o.Tables = append(o.Tables, n.Table)
		o.Marks = append(o.Marks, n.Mark)
	}
	for _, r := range p.Routes {
		o.Tables = append(o.Tables, r.Table)
	}
	for _, r := range p.Rules {
		if r.MarkMask == p.Mask {
			o.Marks = append(o.Marks, r.Mark)
		}
	}
	slices.Sort(o.Tables)
	slices.Sort(o.Marks)
	o.Tables, o.Marks = slices.Compact(o.Tables), slices.Compact(o.Marks)
	o.Marks = slices.DeleteFunc(o.Marks, func(m uint32) bool { return m == 0 })
	return o
}

func (o owned) equal(p owned) bool {
	return o.Mask == p.Mask && o.BasePriority == p.BasePriority && slices.Equal(o.Tables, p.Tables) && slices.Equal(o.Marks, p.Marks)
}

// tables lists the tables of every plan in the journal.
func (j *journal) tables() (out []uint32) {
	for _, o := range j.Owned {
		out = append(out, o.Tables...)
	}
	return out
}

// bases lists the first priorities of every plan in the journal.
func (j *journal) bases() (out []uint32) {
	for _, o := range j.Owned {
		out = append(out, o.BasePriority)
	}
	return out
}

// with returns the journal to write before a plan that owns o is applied.
func (j *journal) with(o owned, sysctls []plan.SysctlChange) *journal {
	next := &journal{Owned: []owned{o}, Sysctls: slices.Clone(j.Sysctls)}
	for _, old := range j.Owned {
		if !slices.ContainsFunc(next.Owned, old.equal) {
			next.Owned = append(next.Owned, old)
		}
	}
	for _, c := range sysctls {
		at, found := slices.BinarySearchFunc(next.Sysctls, c.Path, settingPath)
		if found {
			next.Sysctls[at].Set = c.Want
		} else {
			next.Sysctls = slices.Insert(next.Sysctls, at, setting{c.Path, c.Have, c.Want})
		}
	}
	return next
}

// settled returns the journal to write when the plan is in force and nothing of others before it is left:
// o and the settings that it names.
func (j *journal) settled(o owned, sysctls []plan.Sysctl) *journal {
	next := &journal{Owned: []owned{o}}
	for _, s := range j.Sysctls {
		if slices.ContainsFunc(sysctls, func(w plan.Sysctl) bool { return w.Path == s.Path }) {
			next.Sysctls = append(next.Sysctls, s)
		}
	}
	return next
}

// unsetSysctls lists the settings taken that want does not name any more and that, by their live values, still have
// pbr's: one that someone else has changed since is theirs.
func unsetSysctls(taken []setting, want []plan.Sysctl, live map[string]string) (out []plan.SysctlChange) {
	named := map[string]bool{}
	for _, s := range want {
		named[s.Path] = true
	}
	for _, s := range taken {
		if v, ok := live[s.Path]; ok && !named[s.Path] && v == s.Set && v != s.Original {
			out = append(out, plan.SysctlChange{Path: s.Path, Have: v, Want: s.Original})
		}
	}
	return out
}

func settingPath(s setting, path string) int {
	switch {
	case s.Path < path:
		return -1
	case s.Path > path:
		return 1
	}
	return 0
}

// goneMark is a mark under a mask that steers nothing any more.
type goneMark struct{ mark, mask uint32 }

// goneMarks lists the marks of earlier plans that the first one does not have.
func (j *journal) goneMarks() (out []goneMark) {
	for i, o := range j.Owned {
		for _, m := range o.Marks {
			g := goneMark{m, o.Mask}
			kept := i == 0 || o.Mask == j.Owned[0].Mask && slices.Contains(j.Owned[0].Marks, m)
			if !kept && !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out
}

// readJournal reads the journal; none is an empty one.
func readJournal(file string) (*journal, error) {
	j := &journal{}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("reading the journal %s: %w", file, err)
	}
	return j, nil
}

// replaceJournal writes next unless it is what was.
func replaceJournal(file string, was, next *journal) error {
	if reflect.DeepEqual(was, next) {
		return nil
	}
	b, err := json.Marshal(next)
	if err == nil {
		err = writeFile(file, b)
	}
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// writeFile replaces a file as a whole, or leaves it as it was.
func writeFile(file string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
