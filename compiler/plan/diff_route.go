package plan

// diffRoutes pairs routes by key. A live table can hold several IPv4 routes of one key (ip route
// append): one of them is paired with the wanted route, an equal one if there is any, and the
// others go.
func diffRoutes(have, want []Route, c *Changes) {
	for h, w := 0, 0; h < len(have) || w < len(want); {
		hn, wn := routeRun(have[h:]), routeRun(want[w:])
		if hn > 0 && wn > 0 {
			switch d := have[h].Key().Compare(want[w].Key()); {
			case d < 0:
				wn = 0
			case d > 0:
				hn = 0
			}
		}
		diffRouteKey(have[h:h+hn], want[w:w+wn], c)
		h, w = h+hn, w+wn
	}
}

// routeRun counts the routes at the head of the sorted list that share the first one's key.
func routeRun(routes []Route) int {
	n := 0
	for n < len(routes) && routes[n].Key() == routes[0].Key() {
		n++
	}
	return n
}

// diffRouteKey compares the routes of one key. A plan has one per key; the last counts if a caller
// breaks that.
func diffRouteKey(have, want []Route, c *Changes) {
	if len(want) == 0 {
		for i := range have {
			c.Routes = append(c.Routes, RouteChange{Have: &have[i]})
		}
		return
	}
	w := &want[len(want)-1]
	if len(have) == 0 {
		c.Routes = append(c.Routes, RouteChange{Want: w})
		return
	}
	paired := 0
	for i := range have {
		if have[i].Equal(*w) {
			paired = i
		}
	}
	for i := range have {
		switch {
		case i != paired:
			c.Routes = append(c.Routes, RouteChange{Have: &have[i]})
		case !have[i].Equal(*w):
			c.Routes = append(c.Routes, RouteChange{Have: &have[i], Want: w})
		}
	}
}

// diffRules walks both sorted lists. Rules have no identity but their content, so a changed one is
// an addition and a removal.
func diffRules(have, want []Rule, c *Changes) {
	for h, w := 0, 0; h < len(have) || w < len(want); {
		order := 0
		switch {
		case w == len(want):
			order = -1
		case h == len(have):
			order = 1
		default:
			order = CompareRules(have[h], want[w])
		}
		if order < 0 {
			c.Rules = append(c.Rules, RuleChange{Have: &have[h]})
		}
		if order > 0 {
			c.Rules = append(c.Rules, RuleChange{Want: &want[w]})
		}
		if order <= 0 {
			h++
		}
		if order >= 0 {
			w++
		}
	}
}

// diffSysctls compares the settings that want names; other settings of have do not matter.
func diffSysctls(have, want []Sysctl, c *Changes) {
	live := make(map[string]string, len(have))
	for _, s := range have {
		live[s.Path] = s.Value
	}
	for _, s := range want {
		if v, ok := live[s.Path]; !ok || v != s.Value {
			c.Sysctls = append(c.Sysctls, SysctlChange{Path: s.Path, Have: v, Want: s.Value})
		}
	}
}
