package main

import (
	"path/filepath"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/insync"
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
)

// inputs are all that a plan is made of. What a command compiles gets everything from here, and the
// sum of all of it reports whether it would be another plan.
type inputs struct {
	Program program
	// Name is the policy file as the user wrote it, which messages show.
	Name string
	// Files are those that were examined, and Zones the time zones that the policy names.
	Files []applied.Seen
	// Fetched is the directory of the texts of URLs, which is not always the same: a service has
	// its own, and so has a network namespace once it has a name.
	Fetched string
	Zones   map[string]*time.Location
	Host    plan.HostFacts
	// Watched means that a watch runs: Down is its word. Without one Last decides.
	Watched bool
	Down    compiler.Health
	Last    daemon.HealthSource
}

// program tells this program from another build.
type program struct {
	Version string
	File    applied.FileMark
}

func thisProgram() program {
	return program{thisBuild().String(), applied.MarkOf("/proc/self/exe")}
}

// inputsOf are a policy's and a situation's.
func inputsOf(f *policyFile, now *situation) *inputs {
	in := &inputs{Program: thisProgram(), Name: f.display, Files: f.text.Seen(), Fetched: fetchedDir(),
		Zones: zonesOf(f.doc), Host: now.host}
	in.take(now.watch, now.lastHealth.Source)
	return in
}

// take takes in what is known of the uplinks.
func (in *inputs) take(watch *daemon.Report, last daemon.HealthSource) {
	if watch != nil {
		in.Watched, in.Down = true, watch.Down
	} else {
		in.Last = last
	}
}

// zonesOf are the time zones that a policy names.
func zonesOf(doc *policy.Document) map[string]*time.Location {
	zones := map[string]*time.Location{}
	for i := range doc.Policies {
		for _, t := range doc.Policies[i].Schedule {
			if t.Location != nil {
				zones[t.Zone] = t.Location
			}
		}
	}
	return zones
}

// recordFile is where what was found in sync is noted.
func recordFile(k *kernel.Kernel) string { return filepath.Join(k.Dir(), kernel.InSyncFile) }

// found is what a command found in sync: what is to be noted of it.
type found struct {
	file *policyFile
	now  *situation
	want *plan.Plan
	held *kernel.Held
}

// record returns what is to be noted; nil where the next command has to look at everything: it has
// to say how long ago something was, or the policy cannot be read again.
func (s *found) record() *insync.Record {
	f := s.file
	seen := f.text.Seen()
	if s.held == nil || len(seen) == 0 || len(f.doc.Uplinks) == 0 || s.now.unread || len(s.now.lastHealth.Uplinks) > 0 || unfetched(f.doc) {
		return nil
	}
	in := inputsOf(f, s.now)
	r := &insync.Record{
		Inputs: insync.Of(in), Held: insync.Of(s.held), Policy: insync.PolicyFile{Name: f.text.Name, Path: f.text.Path, Hash: f.text.Hash},
		Seen: seen, Needs: compiler.Needs(f.doc), Look: s.held.Look,
		Parsed: f.diagnostics, FallsBack: policy.FallsBack(f.doc), Deferred: s.want.Deferred,
	}
	for name := range in.Zones {
		r.Zones = append(r.Zones, name)
	}
	return r
}

// still is a record that holds still, and the host facts that were read to see that, for no needs.
type still struct {
	*insync.Record
	host plan.HostFacts
}

// inSyncStill returns what was noted when the kernel was found to hold the policy that the command
// line names, if everything is as it was then: the policy with all that it names, the machine, the
// uplinks' health, this program, and what the kernel has. It returns nil if anything may be
// otherwise, and with --full.
func inSyncStill(ctx *cli.Context, k *kernel.Kernel) *still {
	name, err := configName(ctx)
	if err != nil || ctx.Bool(fullName) {
		return nil
	}
	r := insync.Read(recordFile(k))
	path, err := filepath.Abs(name)
	if r == nil || err != nil || r.Policy.Name != name || r.Policy.Path != path {
		return nil
	}
	in := &inputs{Program: thisProgram(), Name: name, Fetched: fetchedDir(), Zones: map[string]*time.Location{}}
	for _, file := range r.Seen {
		now := applied.Look(file.Name)
		if now != file {
			return nil
		}
		in.Files = append(in.Files, now)
	}
	for _, zone := range r.Zones {
		if in.Zones[zone], err = time.LoadLocation(zone); err != nil {
			return nil
		}
	}
	host, err := k.HostFacts(r.Needs.OfRoutes())
	if err != nil {
		return nil
	}
	in.Host = k.MoreHostFacts(host, r.Needs)
	watch, err := runningWatch(k)
	if err != nil {
		return nil
	}
	last, err := daemon.ReadHealthSource(healthPath(k), kernel.Uptime())
	if err != nil {
		return nil
	}
	if in.take(watch, last); insync.Of(in) != r.Inputs {
		return nil
	}
	held, err := k.HeldNow(r.Look)
	if err != nil || insync.Of(held) != r.Held {
		return nil
	}
	return &still{r, host}
}

// reread is the policy of a record, for what is said of it.
func reread(r *insync.Record) *policyFile {
	f := &policyFile{display: r.Policy.Name, text: &applied.Policy{}}
	if len(r.Parsed)+len(r.FallsBack) > 0 {
		f.text = applied.Reread(r.Policy.Name, r.Policy.Path, r.Seen)
	}
	return f
}

// fullName is the option that has everything compared.
const fullName = "full"

func fullFlag() cli.Flag {
	return &cli.BoolFlag{Name: fullName,
		Usage: "compare everything with what the kernel says, also where nothing has changed since it was compared last"}
}
