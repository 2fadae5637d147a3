#!/bin/sh
# May this guest be made? Arguments: its name, libvirt's URI, whether it is mergeable (True, False), KSM's lock.
# Says why not, in one line.
set -eu
case "$1" in
    vmdedup-?*) ;;
    *) echo "$1: the name of a guest begins with vmdedup-"; exit 3 ;;
esac
if xml=$(virsh --connect "$2" dumpxml "$1" 2>/dev/null); then
    case "$xml" in
        *https://vmdedup.org/domain/1*) ;;
        *) echo "a domain $1 that is not of vmdedup exists; rename it, or the group of guests"; exit 3 ;;
    esac
fi
held=0
[ "$3" != True ] || flock --nonblock --conflict-exit-code 75 "$4" true 2>/dev/null || held=$?
if [ "$3" = True ] && [ "$held" != 75 ]; then
    echo "a mergeable guest needs the lock $4 held: vmdedup live run, or flock $4 before ansible-playbook"
    exit 3
fi
