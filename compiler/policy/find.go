package policy

// Uplink returns the uplink of that name, nil if there is none.
func (d *Document) Uplink(name string) *Uplink {
	return named(d.Uplinks, func(u *Uplink) bool { return u.Name == name })
}

// Table returns the [[table]] of that name, nil if there is none.
func (d *Document) Table(name string) *Table {
	return named(d.Tables, func(t *Table) bool { return t.Name == name })
}

// Balance returns the balance of that name, nil if there is none.
func (d *Document) Balance(name string) *Balance {
	return named(d.Balances, func(b *Balance) bool { return b.Name == name })
}

// List returns the list of that name, nil if there is none.
func (d *Document) List(name string) *List {
	return named(d.Lists, func(l *List) bool { return l.Name == name })
}

// UplinksOf returns the uplinks that a target leads to by name: itself, or those of its table.
func (d *Document) UplinksOf(t Target) []string {
	switch t.Kind {
	case ToUplink:
		return []string{t.Name}
	case ToTable:
		if table := d.Table(t.Name); table != nil {
			return table.Uplinks()
		}
	}
	return nil
}

// Uplinks returns the uplinks of the table's routes, in the file's order.
func (t *Table) Uplinks() []string {
	names := make([]string, 0, len(t.Routes))
	for i := range t.Routes {
		names = append(names, t.Routes[i].Uplink)
	}
	return names
}

func named[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}
