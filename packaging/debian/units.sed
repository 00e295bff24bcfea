# Derives the units of this package from those in provisioning/systemd.
# The package creates the user, so systemd does not have to.
/DynamicUser=/d
s|/opt/heptad/bin/heptad|/usr/bin/heptad|
