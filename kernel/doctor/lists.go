package doctor

// lists judges the lists that come from URLs.
func (e *examination) lists() {
	for _, f := range e.facts.Fetched {
		subject, do := "list "+f.List, "pbr lists update "+f.List
		switch {
		case f.At == "" && f.Trouble != "":
			e.add(Fail, subject, do+", when the server can be reached", "%s was never fetched, so it has no entries: %s", f.URL, f.Trouble)
		case f.At == "":
			e.add(Fail, subject, do+"; pbr watch fetches it too", "%s was not fetched yet, so it has no entries", f.URL)
		case f.Trouble != "":
			e.add(Warn, subject, do+" tries it now",
				"the copy fetched at %s is used: fetching %s has failed since %s: %s", f.At, f.URL, f.Since, f.Trouble)
		default:
			e.ok(subject, "%s, fetched at %s", f.URL, f.At)
		}
	}
}
