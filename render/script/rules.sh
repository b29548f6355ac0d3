# no_rules FAMILY takes away the rules of protocol 112. One flush leaves some behind when they are many.
no_rules() {
	before=
	while left=$(ip "$1" -N rule show | grep 'proto 112'); [ "$left" != "$before" ]; do
		before=$left
		ip "$1" rule flush protocol 112
	done
}
