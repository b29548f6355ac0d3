package tomltree

// arena has the memory of a tree. Tables and arrays are many and short: one allocation each would
// cost more than what they hold.
type arena struct {
	fields []Field
	tables []Fields
	nodes  []Node
	arrays [][]Node
}

// chunk is how many of a kind are allocated at once.
const chunk = 256

// more returns a table's list with room for another field. The list that was made last grows where
// it is.
func (m *arena) more(list []Field) []Field {
	n, used := len(list), len(m.fields)
	if n > 0 && used > 0 && used < cap(m.fields) && &list[n-1] == &m.fields[used-1] {
		m.fields = m.fields[:used+1]
		return m.fields[used-n : used : used+1]
	}
	room := 1
	if n > 0 {
		room = 2 * n
	}
	if room > chunk/4 {
		return append(make([]Field, 0, room), list...)
	}
	if used+room > cap(m.fields) {
		m.fields, used = make([]Field, 0, chunk), 0
	}
	m.fields = m.fields[:used+room]
	return append(m.fields[used:used:used+room], list...)
}

// table returns a new table.
func (m *arena) table(f Fields) *Fields {
	if len(m.tables) == cap(m.tables) {
		m.tables = make([]Fields, 0, chunk)
	}
	m.tables = append(m.tables, f)
	return &m.tables[len(m.tables)-1]
}

// array returns a new array, with room for more elements as append makes it.
func (m *arena) array(nodes ...Node) *[]Node {
	if len(m.arrays) == cap(m.arrays) {
		m.arrays = make([][]Node, 0, chunk)
	}
	m.arrays = append(m.arrays, m.copied(nodes))
	return &m.arrays[len(m.arrays)-1]
}

func (m *arena) copied(nodes []Node) []Node {
	n := len(nodes)
	if n > chunk/4 {
		return append(make([]Node, 0, n), nodes...)
	}
	if len(m.nodes)+n > cap(m.nodes) {
		m.nodes = make([]Node, 0, chunk)
	}
	from := len(m.nodes)
	m.nodes = append(m.nodes, nodes...)
	return m.nodes[from : from+n : from+n]
}

// appended adds an element to an array of tables. A long array gets room for as many as there are
// if the rest of the file is like what was read: append alone copies large arrays many times.
func (s *scanner) appended(list []Node, n Node) []Node {
	if len(list) == cap(list) && len(list) > chunk {
		list = append(make([]Node, 0, s.roomFor(len(list))), list...)
	}
	return append(list, n)
}

// roomFor is how long an array is probably, of which the text so far has n elements.
func (s *scanner) roomFor(n int) int {
	const most = 64 // times what was seen: the rest may be something else
	all := uint64(n) * uint64(len(s.src)) / uint64(s.i)
	return int(max(min(all+all/16, most*uint64(n)), uint64(n+n/4)))
}
