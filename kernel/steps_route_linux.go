package kernel

import (
	"errors"
	"fmt"
	"slices"

	"pbr/compiler/plan"
)

// splitRoutes separates changes that set a route from routes to delete.
func splitRoutes(changes []plan.RouteChange) (set []plan.RouteChange, del []plan.Route) {
	for _, c := range changes {
		if c.Want != nil {
			set = append(set, c)
		} else {
			del = append(del, *c.Have)
		}
	}
	return set, del
}

// nameRoutes names a step for routes.
func nameRoutes(verb string, routes []plan.Route) string {
	name := fmt.Sprintf("%s route %v", verb, routes[0].Key())
	if more := len(routes) - 1; more > 0 {
		name += fmt.Sprintf(" and %d more", more)
	}
	return name
}

// setRoutes adds or replaces routes; a lenient apply skips those that fail.
func (a *application) setRoutes(changes []plan.RouteChange) step {
	want := make([]plan.Route, len(changes))
	for i := range changes {
		want[i] = *changes[i].Want
	}
	var errs []error
	undo := func() error {
		var added, replaced []plan.Route
		for i, c := range changes {
			switch {
			case errs[i] != nil:
			case c.Have == nil:
				added = append(added, want[i])
			default:
				replaced = append(replaced, *c.Have)
			}
		}
		return errors.Join(slices.Concat(a.route.SetRoutes(replaced), a.route.EditRoutes().Del(added))...)
	}
	do := func() error {
		if errs = a.route.SetRoutes(want); !a.lenient {
			return a.undoPart(errs, undo)
		}
		a.leaveOutRoutes(want, errs)
		return nil
	}
	return step{what: nameRoutes("set", want), do: do, undo: undo}
}

func (a *application) delRoutes(routes []plan.Route) step {
	var errs []error
	undo := func() error {
		var gone []plan.Route
		for i, r := range routes {
			if errs[i] == nil {
				gone = append(gone, r)
			}
		}
		return errors.Join(a.route.SetRoutes(gone)...)
	}
	do := func() error {
		errs = a.routes.Del(routes)
		return a.undoPart(errs, undo)
	}
	return step{what: nameRoutes("delete", routes), do: do, undo: undo}
}

// undoPart returns the first of errs, and adds the completed part of the step to what has to be
// undone.
func (a *application) undoPart(errs []error, undo func() error) error {
	at := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if at < 0 {
		return nil
	}
	a.done = append(a.done, step{undo: undo})
	return errs[at]
}

// leaveOutRoutes removes the routes that have an error from the wanted plan.
func (a *application) leaveOutRoutes(routes []plan.Route, errs []error) {
	for i, err := range errs {
		if err != nil {
			a.want.Routes = slices.DeleteFunc(slices.Clone(a.want.Routes), routes[i].Equal)
			a.leaveOut(err)
		}
	}
}

// leaveOut records what a lenient apply skips.
func (a *application) leaveOut(err error) {
	a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("skipped: %v", err))
}
