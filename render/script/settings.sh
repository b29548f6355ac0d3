# setting PATH VALUE sets a sysctl, if the interface or feature that has it is there.
setting() {
	if [ -e "/proc/sys/$1" ]; then
		sysctl -q -w "$1=$2"
	else
		say "$1 left out: there is no such setting"
	fi
}
