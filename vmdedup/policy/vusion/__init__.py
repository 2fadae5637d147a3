"""VUsion: fusing pages so that nobody can tell by any access whether a page was fused. Oliverio et al., SOSP 2017."""
